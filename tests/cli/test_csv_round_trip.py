"""CSV files that people open in a spreadsheet: every text, label and id comes back as it was."""

import csv
import re
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whylabel.cli.prediction_files import Layout
from whylabel.cli.review_files import write_rows
from whylabel.data.readers import read_table
from whylabel.data.texts import TextRow, texts_of_lines
from whylabel.data.writers import table_file
from whylabel.prediction.card import MODES, ModelCard
from whylabel.reasonings.review import ReviewRow
from whylabel.text.labels import LabelSet
from whylabel.text.spreadsheet import restored
from whylabel.types import Prediction

# NUL and half surrogate pairs are refused when texts are read, before anything is said of them.
signs = st.sampled_from("=+-@'\"\t\r\n,; aé悲😀\u2028") | st.characters(
    exclude_categories=["Cs"], exclude_characters="\0"
)
texts = st.text(signs, max_size=8)
TRICKY = "'=\"a\nb\r\n,c\t"


@pytest.fixture
def folder(tmp_path):
    """Return what makes a folder for each example."""
    return lambda: Path(tempfile.mkdtemp(dir=tmp_path))


def formulas(path: Path) -> list[str]:
    """Return the cells that a spreadsheet takes for formulas; a plain number is none."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    return [
        cell
        for cell in cells
        if cell[:1] in tuple("=+-@\t\r") and not re.fullmatch(r"[+-][0-9.,eE%+-]*[0-9]", cell)
    ]


def columns(path: Path) -> dict[str, list[str]]:
    return {name: [*map(restored, cells)] for name, cells in read_table(path).columns.items()}


def card(labels) -> ModelCard:
    return ModelCard(LabelSet(labels), "dual", "?", "Label", "compact", 64, 16, {}, MODES["dual"])


def write_predictions(path: Path, card: ModelCard, rows: list[Prediction]) -> None:
    layout = Layout.of(texts_of_lines("stdin", ["text"] * len(rows)), card, "none")
    with table_file(path, layout.csv_schema()) as write:
        for row in rows:
            write(layout.csv_record(TextRow(row.id, "text", (row.id, "text")), row))


@given(
    st.lists(st.tuples(texts, st.integers(0, 1), texts), min_size=1, max_size=4),
    st.lists(texts.filter(str.strip), min_size=2, max_size=2, unique_by=str.strip).map(tuple),
)
@example([("=1+1", 0, "@SUM(A1)"), ("-2", 1, "+3"), ("\tid", 0, "\rwhy")], ("=joy", "@fear"))
@example([(TRICKY, 0, TRICKY), ("", 1, "")], ("-joy", "'-joy"))
def test_predictions_come_back(folder, said, labels):
    path = folder() / "out.csv"
    rows = [
        Prediction(row_id, labels[at], (0.25, 0.75), reasoning, status="failed", error=reasoning)
        for row_id, at, reasoning in said
    ]
    write_predictions(path, card(labels), rows)
    assert not formulas(path)
    found = columns(path)
    assert found["id"] == [row.id for row in rows]
    assert found["label"] == [row.label for row in rows]
    assert found["reasoning"] == found["error"] == [row.reasoning for row in rows]
    assert found["status"] == ["failed"] * len(rows)


@given(st.lists(st.tuples(texts, texts, texts, texts, texts), min_size=1, max_size=4))
@example([("=1+1", "@text", "-label", "+why", "\treason"), (TRICKY,) * 5, ("",) * 5])
def test_reviews_come_back(folder, said):
    path = folder() / "rows.csv"
    rows = [
        ReviewRow(row_id, text, label, reasoning, "dropped", reason, margin=-0.5)
        for row_id, text, label, reasoning, reason in said
    ]
    write_rows(path, rows)
    found = columns(path)
    assert list(found) == list(asdict(rows[0]))
    for name in ("id", "text", "label", "reasoning", "reason"):
        assert found[name] == [getattr(row, name) for row in rows]
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            # A number below zero is one in a spreadsheet, too.
            assert row.pop("margin") == "-0.5"
    assert not formulas(path)


@pytest.mark.parametrize("sign", "=+-@\t\r")
def test_ids_and_labels_are_no_formulas(folder, sign):
    path = folder() / "out.csv"
    label = f"{sign}label"
    write_predictions(path, card((label, "other")), [Prediction(f"{sign}id", label, (0.25, 0.75))])
    write_rows(folder() / "rows.csv", [])
    with path.open(encoding="utf-8-sig", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["id"], row["label"]) == (f"'{sign}id", f"'{sign}label")
