"""The columns of a prediction in each format, whatever the model: predictions are given, no model is loaded."""

import json
from dataclasses import replace

import pyarrow
import pytest
from pyarrow import parquet

from whylabel.cli.prediction_files import Layout
from whylabel.data.texts import load_texts
from whylabel.prediction.card import MODES, ModelCard
from whylabel.prediction.multi_label import MultiLabel
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator
from whylabel.types import Prediction

CARD = ModelCard(LabelSet(("joy", "fear")), "dual", "?", "Label", "compact", 64, 16, {}, MODES["dual"])
SEVERAL = replace(CARD, multi_label=MultiLabel(Separator("|")))
SURE = Prediction(
    "a",
    "joy",
    (0.75, 0.25),
    "it shines",
    "reasoned",
    "reasoning_cut",
    0.5,
    7,
    reasoning_status="ok",
    disagrees=True,
)
FAILED = Prediction("b", "", (), None, "reasoned", "failed", error="the text is blank")
STRUCT = pyarrow.struct([("joy", pyarrow.float64()), ("fear", pyarrow.float64())])
TEXTS = ("reasoning", "reasoning_status", "disagrees", "mode", "status", "error")


@pytest.fixture
def layout(tmp_path):
    """Return a function that returns the layout for these rows of a file, and its first row."""
    path = tmp_path / "in.jsonl"

    def of(*rows, card=CARD, carried="all", **named):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        texts = load_texts(path, **named)
        return Layout.of(texts, card, carried), next(iter(texts.pieces()))[0]

    return of


def test_a_prediction_is_written_whole(layout):
    found, row = layout({"id": "a", "text": "bright", "n": 3})
    assert found.record(row, SURE) == {
        "id": "a",
        "text": "bright",
        "n": 3,
        "label": "joy",
        "probabilities": {"joy": 0.75, "fear": 0.25},
        "reasoning": "it shines",
        "reasoning_status": "ok",
        "disagrees": True,
        "mode": "reasoned",
        "status": "reasoning_cut",
    }
    assert list(found.csv_record(row, SURE).items()) == [
        *[("id", "a"), ("text", "bright"), ("n", 3), ("label", "joy")],
        *[("p(joy)", "0.750000"), ("p(fear)", "0.250000")],
        *[("reasoning", "it shines"), ("reasoning_status", "ok"), ("disagrees", "yes")],
        *[("status", "reasoning_cut"), ("error", None)],
    ]
    assert list(found.csv_schema()) == [
        *("id", "text", "n", "label", "p(joy)", "p(fear)"),
        *TEXTS[:3],
        *TEXTS[4:],
    ]
    assert set(found.csv_schema().values()) == {"text"}


def test_a_failed_row_says_why_and_has_no_probabilities(layout):
    found, row = layout({"id": "b", "text": " "}, carried="none")
    assert found.record(row, FAILED) == {
        "id": "b",
        "label": "",
        "probabilities": {},
        "reasoning": None,
        "reasoning_status": None,
        "disagrees": None,
        "mode": "reasoned",
        "status": "failed",
        "error": "the text is blank",
    }
    assert found.csv_record(row, FAILED) == {
        "id": "b",
        "label": "",
        "reasoning": None,
        "reasoning_status": None,
        "disagrees": "",
        "status": "failed",
        "error": "the text is blank",
    }
    assert found.names == {} and found.renamed == {}


def test_several_labels_are_a_list_too_except_in_csv(layout):
    found, row = layout({"id": "a", "text": "x"}, card=SEVERAL)
    both = replace(SURE, label="joy|fear")
    record = found.record(row, both)
    assert (record["label"], record["labels"]) == ("joy|fear", ["joy", "fear"])
    assert found.record(row, FAILED)["labels"] == []
    assert "labels" not in found.csv_record(row, both) and "labels" not in found.csv_schema()
    schema = found.parquet_schema(None)
    assert list(schema) == ["id", "text", "label", "labels", "probabilities", *TEXTS]
    assert schema["labels"] == "texts"


def test_parquet_has_a_type_for_every_column(layout):
    found, _ = layout({"id": 7, "text": "x", "n": 1, "label": "gold"}, card=CARD)
    assert found.parquet_schema(None) == {
        "id": pyarrow.int64(),
        "text": pyarrow.string(),
        "n": pyarrow.int64(),
        "input_label": pyarrow.string(),
        "label": "text",
        "probabilities": STRUCT,
        **dict.fromkeys(TEXTS, "text"),
        "disagrees": "truth",
    }
    assert found.renamed == {"label": "input_label"}
    alone, _ = layout({"id": 7, "text": "x"}, carried="none")
    assert alone.parquet_schema(None) == {
        **{"id": "text", "label": "text", "probabilities": STRUCT},
        **dict.fromkeys(TEXTS, "text"),
        "disagrees": "truth",
    }


@pytest.mark.parametrize(
    "name", ["label", "labels", "probabilities", "reasoning", "mode", "status", "error", "p(joy)"]
)
def test_a_column_of_the_input_is_never_taken_for_one_of_the_prediction(layout, name):
    found, row = layout({"id": "a", "text": "x", name: "mine"}, card=SEVERAL)
    assert found.renamed == {name: f"input_{name}"}
    assert found.record(row, SURE)[f"input_{name}"] == "mine"
    assert found.csv_record(row, SURE)[f"input_{name}"] == "mine"


def test_types_come_from_a_parquet_file_and_from_no_other(layout, tmp_path):
    found, _ = layout({"id": 7, "text": "x"})
    path = tmp_path / "in.PARQUET"
    parquet.write_table(pyarrow.table({"id": pyarrow.array([7], pyarrow.int8()), "text": ["x"]}), path)
    assert found.parquet_schema(path)["id"] == pyarrow.int8()
    assert found.parquet_schema(tmp_path / "in.jsonl")["id"] == pyarrow.int64()


@pytest.mark.parametrize(
    ("rows", "written", "kind"),
    [
        # Ids that are numbers stay numbers, those that are texts lose the blanks around them.
        ([{"id": 7, "text": "x"}], 7, pyarrow.int64()),
        ([{"id": " a ", "text": "x"}], "a", pyarrow.string()),
        # Where a row has no id, hashes are texts, and so are the others.
        ([{"id": 7, "text": "x"}, {"id": None, "text": "y"}], "a", "text"),
        ([{"text": "x"}], "a", "text"),
    ],
)
def test_an_id_is_written_as_it_came_where_every_row_has_one(layout, rows, written, kind):
    found, row = layout(*rows)
    assert found.record(row, SURE)["id"] == written
    assert found.parquet_schema(None)["id"] == kind
