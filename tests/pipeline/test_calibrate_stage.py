"""What the calibration is given and writes, and which changes of `whylabel.json` count. No model answers here."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from whylabel.models import load as models
from whylabel.models.load import read_card
from whylabel.pipeline.calibrate import calibrate_stage, calibrated_content, trained_content
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.job import Job
from whylabel.prediction import engine
from whylabel.prediction.card import MODES, ModelCard
from whylabel.recipe import build_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages import classifier
from whylabel.text.labels import LabelSet
from whylabel.types import Dataset, Example

ROWS = tuple(Example(str(at), f"text {at}", ("joy", "fear")[at % 2]) for at in range(4))
CARD = ModelCard(
    LabelSet(("fear", "joy")), "dual", "?", "Label", "compact", 64, 16, {"seed": 1}, MODES["dual"]
)


@pytest.fixture
def folder(tiny_model_folder, tmp_path):
    """A model folder with the card of a model that was calibrated before, for one mode alone."""
    copy = shutil.copytree(tiny_model_folder, tmp_path / "model")
    (copy / "whylabel.json").write_text(
        json.dumps(replace(CARD, modes=("vote", "reasoned", "fast")).to_json())
    )
    return copy


@pytest.mark.parametrize(("figures", "budget"), [({"reasoning_budget": 33}, 33), ({}, 16)])
def test_a_model_is_calibrated_from_how_it_was_trained(folder, tmp_path, monkeypatch, figures, budget):
    recipe = build_recipe({"device": "cpu", "classifier": {"target": "dual", "votes": 3}})
    job = Job("calibrate-classifier", "key", Inputs(recipe, Dataset(ROWS, ROWS[:3])), RunFolder(tmp_path))
    job.run.finish_stage(
        "train-classifier", "key", seconds=1, rows=1, tokens=0, content=trained_content(folder)
    )
    loaded, given = object(), []
    monkeypatch.setattr(models, "load", lambda name, **named: given.append((name, named)) or loaded)
    closed = []
    writing = SimpleNamespace(close=lambda: closed.append(True))
    monkeypatch.setattr(engine, "PredictionEngine", lambda *of: given.append(of) or writing)

    def calibrate(*arguments):
        given.append(arguments)
        return replace(arguments[1], modes=("vote", "fast", "reasoned"))

    monkeypatch.setattr(classifier, "calibrate_classifier", calibrate)
    (tmp_path / "metrics.json").write_text(json.dumps(figures))
    result = calibrate_stage(job, folder, tmp_path / "metrics.json")
    load, of, (model, start, rows, settings, written_with) = given
    assert of == (loaded, recipe.classifier.engine, {})
    assert written_with is writing and closed == [True]
    assert load == (str(folder), {"device": "cpu"})
    assert (model, rows, settings) == (loaded, ROWS[:3], recipe)
    assert (start.max_reasoning_tokens, start.vote.reasonings, start.modes) == (budget, 3, MODES["dual"])
    assert ModelCard.from_json(read_card(folder), folder) == replace(
        start, modes=("vote", "fast", "reasoned")
    )
    assert (result.rows, result.tokens, result.failed_rows) == (3, 0, 0)
    assert result.record == {"content": calibrated_content(folder)}


def changed(folder, **entries):
    """Return whether trained and calibrated content change with these entries of the card."""
    file = folder / "whylabel.json"
    before = file.read_text()
    contents = trained_content(folder), calibrated_content(folder)
    file.write_text(json.dumps({**json.loads(before), **entries}))
    found = trained_content(folder) != contents[0], calibrated_content(folder) != contents[1]
    file.write_text(before)
    return found


def test_what_decides_answers_counts_and_what_describes_them_does_not(folder):
    assert changed(folder, target="label") == changed(folder, max_text_tokens=9) == (True, True)
    for name in ("modes", "calibration", "thresholds", "vote", "max_reasoning_tokens"):
        assert changed(folder, **{name: "another"}) == (False, True)
    for name in ("whylabel", "lineage", "label_descriptions", "columns", "prompt_format"):
        assert changed(folder, **{name: "another"}) == (False, False)
    contents = trained_content(folder), calibrated_content(folder)
    assert contents[0] != contents[1] and {len(each) for each in contents} == {64}
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b"\n")
    assert not {*contents} & {trained_content(folder), calibrated_content(folder)}
