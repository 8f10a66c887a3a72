"""Baselines without a part of the rows: what they are trained on, whom they judge, and when they are trained."""

import shutil
from collections import defaultdict

import numpy as np
import pytest

from whylabel.errors import RecipeError, RunFolderError
from whylabel.models import load as models
from whylabel.pipeline import Pipeline, augment
from whylabel.pipeline.folds import _fit_predict, fold_models, fold_of_rows
from whylabel.pipeline.job import Job
from whylabel.prediction.trained import TrainedClassifier
from whylabel.reasonings.files import read_reasoned
from whylabel.recipe import build_recipe, override_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages import classifier
from whylabel.stages.augment.verification import Verifier
from whylabel.types import Dataset, Example, Prediction


@pytest.fixture(scope="module")
def judged(recipe, tiny_model_folder):
    return override_recipe(
        recipe,
        reasoner__model=str(tiny_model_folder),
        training__max_steps=1,
        augment__verification={"verifier": "baseline", "folds": 2, "min_margin": -100.0},
    )


@pytest.fixture
def trained(monkeypatch):
    """Which rows were trained on, by the title of the training."""
    found = {}
    train = classifier.train_classifier

    def watched(loaded, rows, labels, recipe, **named):
        found[named["title"]] = list(rows)
        return train(loaded, rows, labels, recipe, **named)

    monkeypatch.setattr(classifier, "train_classifier", watched)
    return found


@pytest.fixture
def verdicts(monkeypatch):
    """Which rows were judged, by the folder of the model that did."""
    found = defaultdict(list)
    open_verifier, lifts = augment._open_verifier, Verifier.lifts

    def opened(job, source):
        verifier = open_verifier(job, source)
        verifier.source = source
        return verifier

    def watched(self, rows):
        found[self.source] += rows
        return lifts(self, rows)

    monkeypatch.setattr(augment, "_open_verifier", opened)
    monkeypatch.setattr(Verifier, "lifts", watched)
    return found


def test_no_reasoning_is_judged_by_a_baseline_that_has_seen_its_text(judged, tmp_path, trained, verdicts):
    given = Pipeline(judged, RunFolder("none")).dataset
    twice = [Example(f"again {row.id}", row.text.upper(), row.label) for row in given.train[:6]]
    dataset = Dataset((*given.train, *twice), given.validation, given.test, labels=given.labels)
    run = RunFolder(tmp_path)
    pipeline = Pipeline(judged, run, dataset)
    pipeline.begin()
    pipeline.augment()
    assert not run.baseline_model.exists()
    folders = fold_models(run)
    assert len(folders) == 2 and set(verdicts) == {str(folder) for folder in folders}
    for number, folder in enumerate(folders):
        seen = {row.text.casefold() for row in trained[f"fold {number + 1}"]}
        texts = {row.text.casefold() for row in verdicts[str(folder)]}
        assert seen and texts and not seen & texts
    every = [row.id for rows in verdicts.values() for row in rows]
    assert sorted(every) == sorted(row.id for row in dataset.train)
    assert all(len(row.scores) == 1 for row in read_reasoned(run.kept))
    # What was trained on labels once more sees all rows.
    pipeline.train_baseline()
    assert len(trained["train-baseline"]) == len(dataset.train)


def test_baselines_that_judge_are_trained_once_and_only_where_a_stage_asks_them(
    judged, tmp_path, trained, verdicts, changed_stages
):
    run = RunFolder(tmp_path)
    pipeline = Pipeline(judged, run)
    pipeline.begin()
    stages = list(pipeline.would_run())
    assert stages.index("train-folds") < stages.index("augment") < stages.index("train-baseline")
    pipeline.augment()
    assert set(trained) == {"fold 1", "fold 2"}
    trained.clear()
    verdicts.clear()
    # Other filters sort what was judged.
    filtered = override_recipe(judged, augment__filters__min_words=2)
    assert changed_stages(filtered, run)[0] == "augment"
    Pipeline(filtered, run).augment()
    assert not trained and not verdicts
    # Other baselines judge anew, and nothing is written again.
    other = override_recipe(judged, training__learning_rate=2e-2)
    assert changed_stages(other, run)[:2] == ["train-folds", "augment"]
    Pipeline(other, run).augment()
    assert set(trained) == {"fold 1", "fold 2"} and len(verdicts) == 2
    # Whoever wants the room back may have it: they are trained again where augment runs again.
    shutil.rmtree(run.folds)
    assert "train-folds" not in changed_stages(other, run)
    assert changed_stages(other, run, augment__filters__min_words=1)[:2] == ["train-folds", "augment"]


def test_a_training_that_was_interrupted_goes_on_with_the_next_fold(judged, tmp_path, monkeypatch, trained):
    run = RunFolder(tmp_path)
    pipeline = Pipeline(judged, run)
    pipeline.begin()
    fit = "whylabel.pipeline.folds._fit_predict"

    def interrupted(job, own, train, held_out, fold):
        if fold == 1:
            raise KeyboardInterrupt
        return _fit_predict(job, own, train, held_out, fold)

    with monkeypatch.context() as patch:
        patch.setattr(fit, interrupted)
        with pytest.raises(KeyboardInterrupt):
            pipeline.augment()
    assert set(trained) == {"fold 1"} and fold_models(run) == []
    trained.clear()
    Pipeline(judged, run).augment()
    assert set(trained) == {"fold 2"}
    assert {file.name for file in fold_models(run)[0].parent.iterdir()} == {"model-0", "model-1"}


def test_suspects_and_verifier_ask_the_same_baselines(judged, tmp_path, monkeypatch, trained):
    asked = []
    monkeypatch.setattr(
        "whylabel.stages.suspects.find_suspects",
        lambda rows, probabilities, labels: asked.append(probabilities.shape) or [],
    )
    both = override_recipe(judged, augment__suspects__folds=3, augment__verification={"verifier": "baseline"})
    run = RunFolder(tmp_path)
    pipeline = Pipeline(both, run)
    pipeline.begin()
    pipeline.augment()
    assert set(trained) == {"fold 1", "fold 2", "fold 3"} and asked == [(24, len(pipeline.labels))]
    assert set(fold_of_rows(run).values()) == {0, 1, 2}


def test_a_baseline_that_was_changed_judges_nothing(judged, tmp_path):
    run = RunFolder(tmp_path)
    pipeline = Pipeline(judged, run)
    pipeline.begin()
    pipeline.augment()
    tokenizer = fold_models(run)[1] / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b"\n")
    with pytest.raises(RunFolderError, match="not as train-folds has left it"):
        Pipeline(override_recipe(judged, augment__filters__min_words=1), run).augment()


def test_without_a_reasoner_no_baseline_is_trained(judged, tmp_path, trained):
    pipeline = Pipeline(override_recipe(judged, reasoner__model=None), RunFolder(tmp_path))
    pipeline.begin()
    with pytest.raises(RunFolderError, match="train-reasoner, has not been run"):
        pipeline.augment()
    assert not trained


def folds(**values):
    return build_recipe({"augment": values}).augment.folds


def test_how_many_baselines_there_are():
    assert folds() is folds(verification={"verifier": "base", "folds": 4}) is None
    assert folds(suspects={"folds": 5}) == folds(suspects={"folds": 5}, verification={"folds": 4}) == 5
    assert folds(verification={"verifier": "baseline"}) == 3
    assert folds(verification={"verifier": "baseline", "folds": 4}) == 4
    assert folds(verification={"verifier": "baseline"}, suspects={"folds": 6}) == 6
    with pytest.raises(RecipeError, match=r"verification.folds 4 and suspects.folds 6 .* give both the same"):
        folds(verification={"verifier": "baseline", "folds": 4}, suspects={"folds": 6})
    # The baseline is not needed before the classifier, whose work may be its budget.
    build_recipe(
        {"augment": {"verification": {"verifier": "baseline"}}, "baseline": {"budget": "matched_flops"}}
    )


@pytest.mark.parametrize("failed", [False, True])
def test_a_fold_learns_labels_alone_and_says_how_likely_each_is(recipe, tmp_path, monkeypatch, failed):
    inputs = Pipeline(override_recipe(recipe, training__max_steps=1, device="cpu"), RunFolder("none")).inputs
    loads, trainings = [], []
    load, train = models.load, classifier.train_classifier

    def watched_load(*arguments, **named):
        loads.append((arguments, named))
        return load(*arguments, **named)

    def watched_training(loaded, rows, labels, recipe, **named):
        trainings.append((rows, labels, recipe, named))
        return train(loaded, rows, labels, recipe, **named)

    monkeypatch.setattr(models, "load", watched_load)
    monkeypatch.setattr(classifier, "train_classifier", watched_training)
    predict = TrainedClassifier.predict
    asked = []

    def predicted(self, rows):
        asked.extend(rows)
        answers = list(predict(self, rows))
        return [Prediction(answers[0].id, "", (), status="failed"), *answers[1:]] if failed else answers

    monkeypatch.setattr(TrainedClassifier, "predict", predicted)
    rows = inputs.dataset.train
    job = Job("train-folds", "a" * 64, inputs, RunFolder("none"))
    found = _fit_predict(job, tmp_path, rows[4:], rows[:4], 1)
    assert loads == [((recipe.base_model,), {"device": "cpu", "dtype": "float32"})]
    [(learnt, labels, given, named)] = trainings
    assert (learnt, labels, given) == (rows[4:], inputs.labels, inputs.recipe)
    assert named == {
        "target": "label",
        "title": "fold 2",
        "checkpoints": tmp_path / "checkpoints-1",
        "lineage": job.lineage(),
        "validation": inputs.dataset.validation,
    }
    assert asked == [(row.id, row.text) for row in rows[:4]]
    # Nobody is judged, so the model is not kept.
    assert list(tmp_path.iterdir()) == []
    assert found.shape == (4, len(inputs.labels))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    # A text that cannot be answered says nothing about its label.
    assert (len(set(found[0])) == 1) == failed and all(len(set(row)) > 1 for row in found[1:])
