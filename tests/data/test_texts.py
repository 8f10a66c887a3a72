import json
from dataclasses import replace

import pytest

from whylabel.data import load_texts
from whylabel.data.table import PIECE_ROWS
from whylabel.data.texts import texts_of_lines
from whylabel.errors import DataError


@pytest.fixture
def source(tmp_path):
    def write(rows, name="d.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write


def rows_of(texts):
    return [row for piece in texts.pieces() for row in piece]


def pairs(texts):
    return [(row.id, row.text) for row in rows_of(texts)]


def test_texts_to_predict(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text('anything\n"a, b"\n\nc\na\na\n')
    rows = pairs(load_texts(path))
    assert [text for _, text in rows] == ["a, b", "", "c", "a", "a"]
    assert rows[4][0] == f"{rows[3][0]}-2"


def test_texts_with_ids(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"id": 7, "message": "x"}\n{"id": 8, "message": null}\n')
    assert pairs(load_texts(path)) == [("7", "x"), ("8", "")]
    assert pairs(load_texts(path, text_column="id", id_column="message"))[0] == ("x", "7")
    with pytest.raises(DataError, match="Did you mean 'message'"):
        load_texts(path, text_column="mesage")


def test_texts_with_an_id_twice(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"id": 7, "message": "x"}\n{"id": 7, "message": "y"}\n')
    with pytest.raises(DataError, match="'7' occurs twice") as caught:
        load_texts(path)
    assert "line 1 and line 2" in caught.value.where


def test_texts_and_ids_that_are_not_readable_have_no_text(source):
    rows = [
        {"id": "1", "text": "half \ud800"},
        {"id": "2", "text": ["a", "b"]},
        {"id": "3", "text": "nul \0"},
        {"id": "\ud800\0", "text": "x"},
        {"id": "5", "text": 7},
    ]
    expected = [("1", None), ("2", None), ("3", None), ("\\ud800\\x00", None), ("5", "7")]
    assert pairs(load_texts(source(rows))) == expected


def test_texts_of_plain_lines(tmp_path):
    path = tmp_path / "d.txt"
    path.write_text("a, b\n\nc\n")
    assert [text for _, text in pairs(load_texts(path))] == ["a, b", "", "c"]


def test_all_columns_come_along_in_their_order_and_unchanged(source):
    rows = [{"region": None, "text": "a", "size": {"x": [1]}}, {"text": "b", "late": True, "region": "north"}]
    texts = load_texts(source(rows))
    assert texts.columns == ("region", "text", "size", "late") and len(texts) == 2
    assert [row.cells for row in rows_of(texts)] == [
        (None, "a", {"x": [1]}, None),
        ("north", "b", None, True),
    ]


def test_a_column_that_joins_after_many_rows_is_there_from_the_first(source):
    rows = [{"text": f"text {at}"} for at in range(2 * PIECE_ROWS + 5)]
    rows[-1]["late"] = 3
    texts = load_texts(source(rows))
    assert texts.columns == ("text", "late") and len(texts) == len(rows)
    found = rows_of(texts)
    assert [row.cells for row in found] == [(row["text"], row.get("late")) for row in rows]
    assert [row.text for row in found] == [row["text"] for row in rows]


def test_ids_are_unique_over_all_pieces(source):
    rows = [{"text": "the same"} for _ in range(PIECE_ROWS + 5)]
    ids = [row_id for row_id, _ in pairs(load_texts(source(rows)))]
    assert len(set(ids)) == len(rows) and ids[-1] == f"{ids[0]}-{len(rows)}"
    rows = [{"text": "x", "id": at} for at in range(PIECE_ROWS + 5)]
    rows[-1]["id"] = 3
    with pytest.raises(DataError, match="'3' occurs twice") as caught:
        load_texts(source(rows))
    assert f"line 4 and line {PIECE_ROWS + 5}" in caught.value.where
    assert "--id-column" in caught.value.fix


@pytest.mark.parametrize(
    ("named", "column", "why"),
    [
        ({}, "body", "recognised"),
        ({"trained_text": "summary"}, "summary", "the model was trained on it"),
        ({"trained_text": "summary", "text_column": "body"}, "body", "named with --text-column"),
        ({"trained_text": "gone"}, "body", "recognised, because the file lacks 'gone'"),
    ],
)
def test_the_text_is_the_named_column_else_that_of_the_training_else_recognised(source, named, column, why):
    path = source([{"summary": "short", "body": "a longer text"}] * 2)
    texts = load_texts(path, **named)
    assert texts.text_column.name == column and texts.text_column.why.startswith(why)


@pytest.mark.parametrize(
    ("named", "column"),
    [
        ({}, "id"),
        ({"trained_id": "ref"}, "ref"),
        ({"trained_id": "ref", "id_column": "id"}, "id"),
        ({"trained_id": "gone"}, "id"),
        ({"trained_id": "text"}, "id"),
    ],
)
def test_the_id_is_the_named_column_else_that_of_the_training_else_recognised(source, named, column):
    texts = load_texts(source([{"id": 1, "ref": "r1", "text": "a"}]), **named)
    assert texts.id_column.name == column and texts.all_have_ids


def test_rows_without_an_id_are_known(source):
    rows = [{"id": 1, "text": "a"}, {"id": " ", "text": "b"}]
    assert not load_texts(source(rows)).all_have_ids
    assert load_texts(source([{"text": "a"}])).id_column.name is None


def test_lines_have_their_numbers(tmp_path):
    texts = texts_of_lines("stdin", ["a", "", "b \udcff"])
    assert texts.columns == ("id", "text") and texts.all_have_ids
    assert pairs(texts) == [("1", "a"), ("2", ""), ("3", None)]
    assert rows_of(texts_of_lines("stdin", [])) == []


def test_a_file_that_changes_while_it_is_read_is_told(source):
    rows = [{"id": at, "text": "a", "more": at} for at in range(5)]
    texts = load_texts(source(rows))
    assert load_texts(source(rows)).digest == texts.digest
    for changed in (rows[:4], [*rows, {"id": 9, "text": "a"}], [*rows[:4], {**rows[4], "more": 7}]):
        source(changed)
        with pytest.raises(DataError, match="has changed while it was read"):
            rows_of(texts)
        assert load_texts(source(changed)).digest != texts.digest
    source(rows)
    assert len(rows_of(texts)) == 5
    with pytest.raises(DataError, match="has changed"):
        rows_of(replace(texts, count=3))
