"""Runs of an older whylabel, opened by this one."""

import json
import shutil

import pytest

from whylabel.pipeline import Pipeline, adoption
from whylabel.pipeline.adoption import _OldKeys
from whylabel.pipeline.inputs import Inputs
from whylabel.recipe import Recipe, override_recipe
from whylabel.run_folder import FORMAT, STAGES, RunFolder
from whylabel.types import Dataset, Example, QuestionAnswer

ROWS = tuple(Example(str(number), f"text {number}", "ab"[number % 2]) for number in range(6))
# What whylabel 0.1 computed for the recipe below, with "fff..." for the fingerprint of every model.
OLD = {
    "reasoner": "abfd32e2504e258ce1770309b63445711345436963a739f9c85fdabbc812dd08",
    "suspects": "574d7152a4da9a4103c9cfc62142eb38a5fc6a10c2c5e640aa02984c0868bd88",
    "augment": "768ac2e5a49657dc57c9bb457137f87e62c4ac2229430e4c2074c4e9c823c8a4",
    "baseline": "2b6a9ec2717f5d26b421ce72afcdeaf490efc8992c3d80fca9b501a11d2bddfa",
    "classifier": "e0110b15e9b65922ac660ab986d7dcc84736f2fe00f1379896f5743c15a5f949",
    "evaluate": "d6b629b5e4495894614c8033f297a02c2ebe24920e317feb68f3751a956c32ee",
    "verifier": "0009c9f6a4d8af83445a68248088f240bdf5abcdc8cac8057594669472bddeea",
}
OLD_MATCHED_BASELINE = "28576200e6bdde16c114c204983fe28bfd3858695e598e6a292577d0751f384a"


@pytest.fixture
def old_keys(monkeypatch, tmp_path):
    monkeypatch.setattr(adoption, "_old_model_fingerprint", lambda name: "f" * 64)
    monkeypatch.setattr(_OldKeys, "_content", lambda self, stage: f"content of {stage}")

    def keys(**values):
        recipe = override_recipe(
            Recipe(name="old"),
            # The defaults of that version.
            reasoner__training__num_train_epochs=1.0,
            reasoner__training__learning_rate=1e-4,
            reasoner__training__per_device_train_batch_size=16,
            augment__verification__verifier="base",
            augment__candidates=2,
            augment__sampling__temperature=0.5,
            augment__suspects__folds=2,
            augment__suspects__exclude=True,
            **{"classifier__self_training_rounds": 1, **values},
        )
        inputs = Inputs(recipe, Dataset(train=ROWS[:4], validation=ROWS[4:5], test=ROWS[5:]))
        pairs = [(QuestionAnswer(str(number), "q", "a", "r"),) for number in (1, 2)]
        inputs.__dict__["reasoning_rows"] = tuple(pairs)
        return _OldKeys(inputs, RunFolder(tmp_path / "none"), {})

    return keys


def test_the_old_formulas_are_those_of_the_old_whylabel(old_keys):
    keys = old_keys()
    assert {name: getattr(keys, name)() for name in OLD} == OLD
    assert old_keys(baseline__budget="matched_flops").baseline() == OLD_MATCHED_BASELINE


def test_what_an_older_filter_let_pass_is_not_taken_over(old_keys):
    # Written without the label (a round of self-training does so, too), a reasoning may name no label at the start.
    names = ["empty", "unfinished", "length", "repetition", "copy", "leak"]
    keys = old_keys(augment__filters__names=names)
    old = keys.inputs.recipe.augment.filters.model_dump(
        exclude={"quotation_required", "labels", "min_fluency"}
    )
    assert keys._filters() == {**old, "question": keys.recipe.task.question, "labels": ["a", "b"]}
    given_labels = old_keys(augment__filters__names=names, classifier__self_training_rounds=0)
    assert "labels" not in given_labels._filters()


@pytest.fixture
def old_run(finished, recipe, tmp_path) -> RunFolder:
    """The finished run as an older whylabel would have left it."""
    shutil.copytree(finished.path, tmp_path / "old")
    run = RunFolder(tmp_path / "old")
    manifest = run.read_manifest()
    stages = {name: dict(entry) for name, entry in manifest["stages"].items() if "calibrate" not in name}
    for entry in stages.values():
        for name in ("decided_by", "recipe", "versions", "hardware"):
            entry.pop(name)
    for stage, folder in {
        "train-reasoner": run.reasoner_model,
        "train-baseline": run.baseline_model,
        "train-classifier": run.classifier_model,
    }.items():
        stages[stage]["content"] = adoption._old_model_fingerprint(str(folder))
    old = _OldKeys(Inputs(recipe), run, stages)
    for stage in (name for name in STAGES if name in stages):
        stages[stage]["fingerprint"] = getattr(old, stage.removeprefix("train-"))()
    from whylabel.reasonings.store import open_store

    with open_store(run.store) as store:
        (number,) = store.settings()
        store.rename_reasoner(store.settings()[number]["reasoner"], stages["train-reasoner"]["content"][:16])
    manifest = {**manifest, "stages": stages}
    manifest.pop("format")
    run.manifest.write_text(json.dumps(manifest))
    return RunFolder(run.path)


def test_a_finished_run_stays_finished(old_run, recipe, monkeypatch, capsys):
    written = old_run.manifest.read_bytes()
    assert set(Pipeline(recipe, RunFolder(old_run.path)).would_run().values()) == {None}
    assert old_run.manifest.read_bytes() == written

    def never(*_arguments, **_options):
        raise AssertionError("a finished stage ran again")

    monkeypatch.setattr("whylabel.models.load.load", never)
    Pipeline(recipe, old_run).run_all()
    assert "made by an older whylabel, and still right: " in capsys.readouterr().err
    manifest = json.loads(old_run.manifest.read_text())
    assert manifest["format"] == FORMAT and set(manifest["stages"]) == set(STAGES)
    assert set(Pipeline(recipe, RunFolder(old_run.path)).would_run().values()) == {None}


def test_no_reasoning_is_written_again(old_run, recipe):
    changed = override_recipe(recipe, augment__filters__min_words=2)
    pipeline = Pipeline(changed, old_run)
    pipeline.begin()
    pipeline.augment()
    figures = json.loads(old_run.augment_metrics.read_text())
    assert figures["reused"] == figures["rows"] == 24


def test_a_plan_before_the_run_loses_no_reasoning(old_run, recipe):
    pipeline = Pipeline(override_recipe(recipe, augment__filters__min_words=2), old_run)
    pipeline.plan()
    pipeline.begin()
    pipeline.augment()
    figures = json.loads(old_run.augment_metrics.read_text())
    assert figures["reused"] == figures["rows"] == 24


def test_a_rehearsal_counts_the_reasonings_of_an_old_run(old_run, recipe):
    written = old_run.manifest.read_bytes()
    rehearsal = Pipeline(recipe, old_run).rehearse_augment()
    assert (rehearsal.rows, rehearsal.to_write) == (24, 0)
    assert old_run.manifest.read_bytes() == written


def test_stages_of_another_recipe_run_again_and_say_so(old_run, recipe):
    found = Pipeline(override_recipe(recipe, training__learning_rate=1e-3), old_run).would_run()
    assert found["train-reasoner"] is None and found["augment"] is None
    assert (
        found["train-baseline"] == found["train-classifier"] == "because training.learning_rate 0.01 -> 0.001"
    )
    assert found["evaluate"] == "after train-baseline"


def test_an_old_run_that_is_opened_with_another_recipe_is_as_good_as_before_with_its_own(old_run, recipe):
    Pipeline(override_recipe(recipe, reasoner__training__learning_rate=1e-3), old_run).begin()
    Pipeline(override_recipe(recipe, training__tokens_per_batch=64), RunFolder(old_run.path)).begin()
    assert set(Pipeline(recipe, RunFolder(old_run.path)).would_run().values()) == {None}


@pytest.mark.parametrize("recorded", [None, "data: {source: gone.csv}", "[]"])
def test_an_old_run_without_a_usable_recipe_is_adopted_by_that_which_is_asked_for(old_run, recipe, recorded):
    old_run.recipe.unlink()
    if recorded is not None:
        old_run.recipe.write_text(recorded)
    assert set(Pipeline(recipe, RunFolder(old_run.path)).would_run().values()) == {None}


def test_an_old_run_whose_reasoner_is_not_its_own_any_more_is_no_error(old_run, recipe):
    manifest = json.loads(old_run.manifest.read_text())
    manifest["stages"]["train-reasoner"]["fingerprint"] = "0" * 64
    old_run.manifest.write_text(json.dumps(manifest))
    pipeline = Pipeline(recipe, RunFolder(old_run.path))
    pipeline.begin()
    assert pipeline.would_run()["train-reasoner"] == "it was made with other settings or data"


def test_a_stage_that_an_old_run_had_not_finished_is_not_adopted(old_run, recipe):
    manifest = json.loads(old_run.manifest.read_text())
    manifest["stages"]["train-classifier"]["status"] = "running"
    old_run.manifest.write_text(json.dumps(manifest))
    found = Pipeline(recipe, RunFolder(old_run.path)).would_run()
    assert found["train-baseline"] is None and found["calibrate-baseline"] is None
    assert found["train-classifier"] == "it was interrupted"
    assert found["calibrate-classifier"] == found["evaluate"] == "after train-classifier"
