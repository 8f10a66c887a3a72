"""What stage 2a gives to the parts that write and judge, and what it says of the outcome. Nothing is written here."""

import json
from types import SimpleNamespace

import pytest

from whylabel.errors import ModelError, RunFolderError
from whylabel.models import load as models
from whylabel.pipeline import augment
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.job import Job
from whylabel.recipe import build_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages.suspects import Suspect, write_suspects
from whylabel.types import Dataset, Example

ROWS = (Example("1", "a text", "joy"), Example("2", "another", "fear"))


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


@pytest.fixture
def opened(run, monkeypatch, tokenizer):
    """Return a function that opens the verifier of a recipe, and returns it with the name that was loaded."""
    loads = []

    def load(name, **named):
        loads.append((name, named))
        return SimpleNamespace(tokenizer=tokenizer)

    monkeypatch.setattr(models, "load", load)

    def verifier(name, **values):
        recipe = build_recipe(
            {
                **{"base_model": "the base", "device": "cpu", "prompt_style": "chat"},
                "task": {"question": "Which mood?", "name": "Mood"},
                "data": {"max_text_tokens": 20},
                "augment": {"verification": {"verifier": name}},
                **values,
            }
        )
        job = Job("augment", "key", Inputs(recipe, Dataset(ROWS)), run)
        found = augment._verifiers(job, "identity")
        if found is None:
            return None, loads
        assert found.identity == "identity" and found.rows_of(0, ROWS) == list(ROWS) and not loads
        (open_verifier,) = found.each
        return open_verifier(), loads

    return verifier


def card(folder, target):
    folder.mkdir(parents=True)
    (folder / "whylabel.json").write_text(json.dumps({"target": target}))
    return folder


def test_without_a_verifier_no_model_is_loaded(opened):
    assert opened(None) == (None, [])


def test_a_verifier_reads_and_is_asked_as_the_recipe_says(opened):
    found, loads = opened("base")
    assert loads == [("the base", {"device": "cpu"})]
    assert (found.prompts.style, found.prompts.question, found.prompts.name) == (
        "chat",
        "Which mood?",
        "Mood",
    )
    assert found.labels.names == ("fear", "joy")
    assert (found.max_text_tokens, found.trained) == (20, False)
    loads.clear()
    assert opened("base", data={})[0].max_text_tokens is None


def test_a_baseline_is_asked_as_it_was_trained_and_any_other_model_in_words(opened, tmp_path):
    for target, trained in (("label", True), ("reasoning_label", False)):
        folder = str(card(tmp_path / target, target))
        found, loads = opened(folder)
        assert (found.trained, loads[-1][0]) == (trained, folder)
        loads.clear()


def test_a_verifier_that_was_trained_on_these_rows_is_warned_of(opened, tmp_path, capsys):
    folder = card(tmp_path / "own", "label")
    mine = Inputs(build_recipe({}), Dataset(ROWS)).description["fingerprint"]
    for data, warned in (({"fingerprint": mine}, True), ({"fingerprint": "others"}, False), (None, False)):
        said = {"target": "label", "lineage": {"data": data}}
        (folder / "whylabel.json").write_text(json.dumps(said))
        opened(str(folder))[1].clear()
        assert ("was trained on these rows" in capsys.readouterr().err) == warned


def test_a_baseline_of_another_text_format_judges_nothing(opened, tmp_path):
    folder = card(tmp_path / "old", "label")
    (folder / "whylabel.json").write_text(json.dumps({"target": "label", "prompt_format": 99}))
    with pytest.raises(ModelError, match="prompts of format 99"):
        opened(str(folder))


@pytest.mark.parametrize(
    ("suspects", "left_out"),
    [
        ({"folds": 2, "exclude": True}, {"2"}),
        ({"folds": 2, "exclude": False}, set()),
        ({"folds": None, "exclude": True}, set()),
        ({}, set()),
    ],
)
def test_suspects_are_left_out_where_they_are_looked_for_and_excluded(run, suspects, left_out):
    write_suspects(run.suspects, [Suspect("2", "another", "fear", 0.1, "joy", 0.9)])
    inputs = Inputs(build_recipe({"augment": {"suspects": suspects}}), Dataset(ROWS))
    assert augment._excluded(inputs, run) == left_out


FIGURES = {"kept": 0, "rows": 1200, "dropped_by_reason": {"too short": 1100, "a copy": 90}, "failed": 10}


@pytest.mark.parametrize(
    ("changed", "reasons"),
    [
        ({}, "1,100 too short, 90 a copy, 10 failed"),
        ({"failed": 0}, "1,100 too short, 90 a copy"),
        ({"failed": 1200, "dropped_by_reason": {}}, "1,200 failed"),
    ],
)
def test_a_run_that_kept_no_reasoning_says_where_they_went(run, changed, reasons):
    run.augment_metrics.parent.mkdir(parents=True)
    run.augment_metrics.write_text(json.dumps({**FIGURES, **changed}))
    with pytest.raises(RunFolderError) as caught:
        augment.require_reasonings(run)
    assert caught.value.what == f"No reasoning was kept of 1,200: {reasons}."
    assert caught.value.where == str(run.dropped)
    run.augment_metrics.write_text(json.dumps({**FIGURES, **changed, "kept": 1}))
    augment.require_reasonings(run)
