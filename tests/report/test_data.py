"""What the report says of the data."""

from __future__ import annotations

from typing import Any

from finished_run import MakeRun
from report_page import page_of
from whylabel.host.atomic import read_json, write_json
from whylabel.report.contents import read_run
from whylabel.report.data import data_of
from whylabel.report.model_card import render_model_card

INSPECTION: dict[str, Any] = {
    "source": "texts.csv",
    "columns": ["body", "topic", "when", "<who>"],
    "text_column": "body",
    "label_column": "topic",
    "id_column": None,
    "rows_read": 730,
    "rows_unusable": 10,
    "rows": {"train": 480, "validation": 60, "test": 180},
    "labels": {"train": {"joy": 480}},
    "lengths": {"words": {"min": 1, "median": 12, "max": 80}},
    "inferred": {"text_column": "body", "test_split": "cut from train"},
    "findings": [
        {
            "severity": "info",
            "count": 2,
            "message": "2 rows with a text that an earlier row has",
            "ids": ["a", "b"],
        },
        {
            "severity": "warning",
            "count": 30,
            "message": "30 texts <script> differ",
            "ids": ["x1"],
            "fix": "decide on one label",
        },
    ],
    "leakage": [
        {"split": "validation", "rows": 60, "leaked": 4, "other_label": 0},
        {"split": "test", "rows": 180, "leaked": 12, "other_label": 3},
    ],
}


def test_columns_splits_rows_and_findings_stand_on_the_page(make_run: MakeRun) -> None:
    run = make_run()
    write_json(run.inspection, INSPECTION)
    page = page_of(run)
    leak = "12 of 180 test texts also occur in train, 3 of them with another label: scores on texts seen in training"
    # Leakage stands at the top of the page, test before validation, and once more beside the data.
    assert page.text.count(leak) == 2
    assert page.text.index(leak) < page.text.index("4 of 60 validation texts") < page.text.index("Comparison")
    for said in (
        "10 rows could not be used",
        "train 480 480",
        "Text body recognised",
        "Id none: a hash of the text",
        "Columns that were not read: when, <who>.",
        "test split cut from train",
        "words 1 12 80",
        "Warning: 30 texts <script> differ To mend it: decide on one label.",
        "x1, ...",
    ):
        assert said in page.text, said
    assert page.text.index("30 texts <script>") < page.text.index("2 rows with a text")
    assert leak in render_model_card(read_run(run))


def test_a_column_that_slices_are_by_was_read(make_run: MakeRun) -> None:
    run = make_run()
    write_json(run.inspection, INSPECTION)
    figures = read_json(run.evaluation_metrics, dict)
    slices = [
        {"by": "when", "value": "May", "n": 9, "difference": 0.0},
        {"by": "label", "value": "joy", "n": 9},
    ]
    write_json(run.evaluation_metrics, {**figures, "slices": slices})
    text = page_of(run).text
    assert "Columns that were not read: <who>." in text
    assert "Slices when named in the recipe" in text


def test_data_without_a_leak_are_said_to_have_none(make_run: MakeRun) -> None:
    run = make_run()
    assert "also occurs in train" not in page_of(run).text
    assert "was not recorded with this run" in page_of(run).text
    write_json(run.inspection, {**INSPECTION, "leakage": [], "findings": []})
    text = page_of(run).text
    assert "No text of validation or test also occurs in train." in text
    assert "finds nothing else in them that is wrong" in text


def test_a_sample_is_not_taken_for_all_rows() -> None:
    manifest = {"data": {"rows": {"train": 24, "test": 12}}}
    found = data_of(manifest, {}, INSPECTION)
    assert found is not None
    assert [(split.name, split.read, split.used) for split in found.splits] == [
        ("train", 480, 24),
        ("validation", 60, None),
        ("test", 180, 12),
    ]
    assert data_of({}, {}, {}) is None


def test_columns_that_the_recipe_names_are_not_said_to_be_recognised() -> None:
    recipe = {"data": {"text_column": "body", "reasoning_column": "why"}}
    found = data_of({}, recipe, INSPECTION)
    assert found is not None
    assert [(one.what, one.name, one.how) for one in found.columns][:2] == [
        ("Text", "body", "named in the recipe"),
        ("Label", "topic", "recognised"),
    ]
    assert found.columns[-1].name == "why"
    # A folder with other labelled texts holds the recipe of the training.
    other = data_of(
        {"model": {}, "data": {"inferred": {"text_column": "note"}, "rows": {"test": 3}}}, recipe, {}
    )
    assert other is not None and [one.name for one in other.columns] == ["note"]
