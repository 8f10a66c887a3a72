"""The answers of an evaluation are kept as they come."""

import pytest

from whylabel.errors import RunFolderError
from whylabel.pipeline.answers import ask, read_answers
from whylabel.types import Prediction

ROWS = [("1", "one"), ("2", "zwei"), ("3", "trois")]


class Model:
    """Answers in two modes; one text kills it, another fails."""

    def __init__(self, deadly=None, failing=None):
        self.deadly, self.failing, self.asked = deadly, failing, []

    def __call__(self, rows):
        for row_id, text in rows:
            if text == self.deadly:
                raise KeyboardInterrupt
            self.asked.append(row_id)
            failed = {"status": "failed", "error": "out of memory"} if text == self.failing else {}
            yield {
                "fast": Prediction(row_id, "a", (0.1 + 0.2, 0.7), seconds=0.5),
                "reasoned": Prediction(
                    row_id, "b", (1 / 3, 2 / 3), f"because\nof “{text}”", "reasoned", tokens=7, **failed
                ),
            }


def test_a_killed_evaluation_goes_on_where_it_was(tmp_path):
    path = tmp_path / "answers" / "classifier.jsonl"
    with pytest.raises(KeyboardInterrupt):
        list(ask(path, ROWS, read_answers(path), Model(deadly="trois")))
    again = Model()
    found = list(ask(path, ROWS, read_answers(path), again))
    assert again.asked == ["3"]
    assert found == list(Model()(ROWS))
    # Once more nobody is asked.
    last = Model()
    assert list(ask(path, ROWS, read_answers(path), last)) == found and last.asked == []


def test_a_torn_line_is_asked_again(tmp_path):
    path = tmp_path / "classifier.jsonl"
    list(ask(path, ROWS, {}, Model()))
    path.write_bytes(path.read_bytes()[:-9])
    assert list(read_answers(path)) == ["1", "2"]
    again = Model()
    assert list(ask(path, ROWS, read_answers(path), again)) == list(Model()(ROWS))
    assert again.asked == ["3"] and list(read_answers(path)) == ["1", "2", "3"]


def test_kept_answers_are_read_when_they_are_asked_for(tmp_path):
    path = tmp_path / "classifier.jsonl"
    list(ask(path, ROWS, {}, Model()))
    known = read_answers(path)
    path.write_bytes(path.read_bytes().replace(b"trois", b"drei!"))
    assert "drei!" in known["3"]["reasoned"].reasoning and known["1"] == next(Model()(ROWS))


def test_what_failed_is_asked_again(tmp_path):
    path = tmp_path / "classifier.jsonl"
    found = list(ask(path, ROWS, read_answers(path), Model(failing="zwei")))
    assert found[1]["reasoned"].error == "out of memory"
    again = Model()
    list(ask(path, ROWS, read_answers(path), again))
    assert again.asked == ["2"]


def test_answers_in_another_order_are_found(tmp_path):
    path = tmp_path / "classifier.jsonl"
    list(ask(path, ROWS[:2], {}, Model()))
    found = list(ask(path, ROWS[::-1], read_answers(path), Model()))
    assert [answer["fast"].id for answer in found] == ["3", "2", "1"]


@pytest.mark.parametrize(
    "line", [b"\0\0\0\n", b'{"id": "4"}\n', b'{"id": "4", "answer": {"fast": {"of": 1}}}\n']
)
def test_a_file_that_is_damaged_is_told(tmp_path, line):
    path = tmp_path / "classifier.jsonl"
    list(ask(path, ROWS, {}, Model()))
    path.write_bytes(line + path.read_bytes())
    with pytest.raises(RunFolderError, match="cannot be read") as caught:
        read_answers(path)
    assert "remove the file" in caught.value.fix
