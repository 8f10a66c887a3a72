"""The stretches that a label rests on, marked in the text."""

import math

import pytest

from finished_run import MakeRun
from report_page import Page, page_of
from whylabel.errors import RunFolderError
from whylabel.evaluation.evidence import evidence_key, read_evidence, write_evidence
from whylabel.evaluation.outcomes import Predictions
from whylabel.report.examples import shown_predictions
from whylabel.report.marks import Piece, pieces
from whylabel.run_folder import RunFolder
from whylabel.types import Evidence

HOSTILE = "</style><script>alert(1)</script> \"'>&amp; {{ 7*7 }} \x00"


def stretch(text: str, words: str, effect: float) -> Evidence:
    start = text.index(words)
    return Evidence(start, start + len(words), words, effect)


def explain(run: RunFolder, words: str, effect: float = math.log(10)) -> None:
    """Give each prediction that is shown the evidence `words`, where they stand in its text."""
    shown = shown_predictions(Predictions.of_file(run.predictions), 20)
    assert shown is not None
    rows = [item.row for item in (*shown.right, *shown.wrong)]
    found = {
        evidence_key(row): (stretch(row.text, words, effect),) if words in row.text else () for row in rows
    }
    write_evidence(run.evidence, "content", found)


def marks(page: Page) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in page.tags if tag == "mark" and "title" in attributes]


def test_a_text_in_pieces() -> None:
    text = "I was so sad that day"
    found = (stretch(text, "sad", 2.0), stretch(text, "day", 0.5))
    assert pieces(text, found) == (
        Piece("I was so "),
        Piece("sad", 2.0),
        Piece(" that "),
        Piece("day", 0.5),
    )
    assert pieces(text[:17], found) == (Piece("I was so "), Piece("sad", 2.0), Piece(" that"))
    assert pieces("I was so sa", found) == (Piece("I was so "), Piece("sa", 2.0))
    for nothing in ((), None):
        assert pieces(text, nothing) == (Piece(text),)
    assert pieces("", found) == ()
    assert Piece("sad", math.log(4)).lost == pytest.approx(0.75)
    assert Piece("sad").lost == 0


def test_evidence_is_marked_in_the_text_with_its_effect_as_shade_line_and_number(make_run: MakeRun) -> None:
    run = make_run()
    plain = page_of(run)
    assert marks(plain) == [] and "rests on" not in plain.text
    explain(run, "kettle")
    page = page_of(run)
    assert len(marks(page)) == 40
    assert all(mark["style"] == "--lost:0.9" for mark in marks(page))
    assert all("90.0" not in (mark["title"] or "") for mark in marks(page))
    assert all("90" in (mark["title"] or "") and "2.30 nats" in (mark["title"] or "") for mark in marks(page))
    assert page.text.count("The kettle 2.3 sang") == 40
    assert "what the predicted label rests on" in page.text
    style = run.report.read_text("utf-8")
    assert "border-bottom: calc(1px + 3px * var(--lost))" in style


def test_a_label_that_rests_on_no_stretch_is_said_to(make_run: MakeRun) -> None:
    run = make_run()
    explain(run, "no such words")
    page = page_of(run)
    assert marks(page) == []
    assert page.text.count("The prediction rests on no stretch of the text alone.") == 40


def test_what_evidence_quotes_is_escaped(make_run: MakeRun) -> None:
    run = make_run(text=HOSTILE, reasoning=HOSTILE)
    explain(run, "<script>alert(1)</script> \"'>&amp; {{ 7*7 }} \x00")
    page = page_of(run)
    html = run.report.read_text("utf-8")
    assert len(marks(page)) == 40
    assert "<script" not in html and "\x00" not in html
    assert "<script>alert(1)</script> \"'>&amp; {{ 7*7 }} \ufffd" in page.text


def test_in_a_long_text_evidence_is_marked_where_it_is_shown(make_run: MakeRun) -> None:
    run = make_run(text="word " * 200 + "kettle")
    explain(run, "kettle")
    # It lies beyond the beginning that is shown, and is marked in the whole text.
    assert len(marks(page_of(run))) == 40
    run = make_run(text="kettle " + "word " * 200)
    explain(run, "kettle")
    assert len(marks(page_of(run))) == 80


def test_evidence_of_other_predictions_is_not_shown(make_run: MakeRun) -> None:
    run = make_run()
    explain(run, "kettle")
    again = make_run(reasoning="The writer now lingers on")
    assert marks(page_of(again)) == []


def test_it_is_read_back_for_the_same_model_only(make_run: MakeRun) -> None:
    run = make_run()
    assert read_evidence(run.evidence) == {}
    explain(run, "kettle")
    found = read_evidence(run.evidence, "content")
    assert len(found) == 40 and found == read_evidence(run.evidence)
    assert all(each.effect == math.log(10) for (each,) in found.values())
    assert read_evidence(run.evidence, "other") == {}


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"model": "m", "rows": {"k": [{"start": 5, "end": 2, "text": "", "effect": 1}]}}'],
)
def test_a_damaged_file_is_one_clear_error(make_run: MakeRun, content: str) -> None:
    run = make_run()
    run.evidence.write_text(content, encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"evidence\.json"):
        page_of(run)
