"""Slices of a run, by what the recipe names."""

import csv
import json

import numpy as np
import pytest

from whylabel.errors import DataError
from whylabel.evaluation.predictions import by_model_and_mode, read_predictions
from whylabel.pipeline import Pipeline
from whylabel.pipeline.inputs import Inputs
from whylabel.recipe import Recipe, override_recipe
from whylabel.run_folder import RunFolder
from whylabel.types import Dataset, Example


def test_slices_are_recomputed_from_the_predictions(finished):
    metrics = json.loads(finished.evaluation_metrics.read_text())
    predictions = by_model_and_mode(read_predictions(finished.predictions))
    default = metrics["classifier"]["mode"]
    base, ours = predictions["baseline", "fast"], predictions["classifier", default]
    by_label = [each for each in metrics["slices"] if each["by"] == "label"]
    assert by_label and {each["by"] for each in metrics["slices"]} >= {"label", "length"}
    for each in by_label:
        places = [place for place, row in enumerate(ours) if row.gold == each["value"]]
        assert each["n"] == len(places)
        assert each["baseline"] == pytest.approx(np.mean([base[place].right for place in places]))
        assert each["classifier"] == pytest.approx(np.mean([ours[place].right for place in places]))
    assert sum(each["n"] for each in by_label) == metrics["classifier"]["n"]


def test_what_reasoning_mended_is_recomputed_from_the_predictions(finished):
    metrics = json.loads(finished.evaluation_metrics.read_text())
    predictions = by_model_and_mode(read_predictions(finished.predictions))
    effect = metrics["reasoning_effect"]
    without, after = predictions[effect["without"], "fast"], predictions["classifier", effect["mode"]]
    pairs = [(first.right, second.right) for first, second in zip(without, after, strict=True)]
    assert effect["mended"] == pairs.count((False, True)) and effect["broken"] == pairs.count((True, False))
    assert effect["both_right"] == pairs.count((True, True)) and effect["n"] == len(pairs)


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "data.csv"
    with file.open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["text", "label", "topic", "steps"])
        rows.writerows([f"text {at}", "ab"[at % 2], "xyz"[at % 3], at % 4 or ""] for at in range(60))
    return file


def inputs_of(table, *slices):
    recipe = override_recipe(Recipe(), data__source=str(table), evaluation__slices=list(slices))
    return Inputs(recipe)


def test_columns_of_the_data_come_with_their_rows(table):
    inputs = inputs_of(table, "topic", "length", "column:steps", "steps")
    assert inputs.slice_columns == ["topic", "steps"]
    numbers = [int(row.text.split()[1]) for row in inputs.dataset.test]
    assert inputs.slice_cells == {
        "topic": ["xyz"[at % 3] for at in numbers],
        "steps": [str(at % 4) if at % 4 else None for at in numbers],
    }


def test_a_column_that_is_not_there_is_refused_before_the_first_stage(table, tmp_path, recipe):
    with pytest.raises(DataError, match="Unknown slice 'topics'. Did you mean 'topic'"):
        inputs_of(table, "topics").check_slices()
    given = Dataset(train=(Example("1", "a", "b"),), test=(Example("2", "a", "b"),))
    with pytest.raises(DataError, match="Known: label, length, margin, steps, suspects"):
        Inputs(inputs_of(table, "topic").recipe, given).check_slices()
    wrong = override_recipe(recipe, evaluation__slices=["topics"])
    with pytest.raises(DataError, match="Unknown slice"):
        Pipeline(wrong, RunFolder(tmp_path / "run")).check(evaluated=True)


def test_other_cells_run_the_evaluation_again_and_other_columns_do_not(
    finished, recipe, changed_stages, table
):
    assert "slice columns" not in Pipeline(recipe, finished).keys.evaluate().parts
    assert changed_stages(recipe, finished, evaluation__slices=["length"]) == ["evaluate"]
    before = inputs_of(table, "topic").slice_cells
    table.write_text(table.read_text().replace(",x,", ",w,"))
    assert inputs_of(table, "topic").slice_cells != before


def test_review_is_recomputed_from_the_predictions(finished):
    metrics = json.loads(finished.evaluation_metrics.read_text())
    default = metrics["classifier"]["mode"]
    rows = by_model_and_mode(read_predictions(finished.predictions))["classifier", default]
    by_probability = metrics["review"][0]
    doubtful = sorted(rows, key=lambda row: max(row.prediction.probabilities, default=-1.0))
    wrong = [not row.right for row in doubtful]
    assert (by_probability["n"], by_probability["errors"]) == (len(rows), sum(wrong))
    risks = [np.mean(wrong[::-1][:kept]) for kept in range(1, len(rows) + 1)]
    assert by_probability["aurc"] == pytest.approx(np.mean(risks))
    assert [each["error_rate"] for each in by_probability["needed"]] == [0.1, 0.05, 0.02, 0.01]
