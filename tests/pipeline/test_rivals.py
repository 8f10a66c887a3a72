"""Other models that learn the labels from the same rows, in a run."""

import itertools
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from whylabel.errors import RecipeError
from whylabel.evaluation.predictions import read_predictions
from whylabel.models.load import load
from whylabel.pipeline import Pipeline, preflight, rivals
from whylabel.prediction.embeddings import embed
from whylabel.recipe import override_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages.head import train_head
from whylabel.text.prompts import Prompts


def said(run, name):
    return [row.prediction for row in read_predictions(run.predictions) if row.model == name]


def test_embeddings_with_a_logistic_regression_are_a_rival(finished, recipe):
    metrics = json.loads(finished.evaluation_metrics.read_text())
    assert set(metrics["rivals"]) == {"embeddings"} and metrics["best"]["candidates"] == 6
    dataset = Pipeline(recipe, finished).dataset
    loaded = load(recipe.base_model, device="cpu")
    prompts = Prompts(loaded.tokenizer, "compact", recipe.task.question, recipe.task.name)
    train, test = (
        embed(loaded, [prompts.classifier(row.text, "label") for row in rows])
        for rows in (dataset.train, dataset.test)
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    model.fit(train, [row.label for row in dataset.train])
    found = said(finished, "embeddings")
    assert [one.label for one in found] == list(model.predict(test))
    expected = model.predict_proba(test)
    chances = np.array([one.probabilities for one in found])
    columns = [metrics["labels"].index(name) for name in model.classes_]
    np.testing.assert_allclose(chances[:, columns], expected, atol=1e-3)
    assert "Embeddings + logistic regression" in finished.report.read_text()


def test_the_pass_of_the_base_model_counts_as_time_of_the_embeddings(finished, recipe, tmp_path, monkeypatch):
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    (kept,) = run.answers.glob("embeddings-*.jsonl")
    kept.unlink()
    ticks = itertools.count(0, 24)
    monkeypatch.setattr(rivals, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    Pipeline(override_recipe(recipe, evaluation__bootstrap_samples=300), run).evaluate()
    # 24 seconds for 12 test rows, and what the regression takes.
    assert all(2 <= one.seconds < 3 for one in said(run, "embeddings"))
    assert next(ticks) == 48


def test_a_rival_is_not_trained_again_where_other_things_change(recipe, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    Pipeline(recipe, run).run_all()
    first = said(run, "embeddings")

    def again(*_arguments):
        raise AssertionError("nothing of a rival has changed")

    monkeypatch.setattr("whylabel.prediction.embeddings.embed", again)
    Pipeline(override_recipe(recipe, evaluation__bootstrap_samples=300), run).evaluate()
    assert said(run, "embeddings") == first
    Pipeline(override_recipe(recipe, evaluation__rivals=[]), run).evaluate()
    assert json.loads(run.evaluation_metrics.read_text())["rivals"] == {}
    with pytest.raises(AssertionError, match="nothing of a rival"):
        Pipeline(override_recipe(recipe, task__name="Mood"), run).run_all()


def test_a_head_and_an_encoder_learn_from_the_same_rows(recipe, tiny_model_folder, tmp_path, monkeypatch):
    trained = []

    def noted(*arguments, **options):
        trained.append((len(arguments[1]), arguments[4], options["mean"]))
        return train_head(*arguments, **options)

    monkeypatch.setattr("whylabel.stages.head.train_head", noted)
    monkeypatch.setattr(
        rivals, "_ENCODER_TRAINING", rivals._ENCODER_TRAINING.model_copy(update={"min_steps": 5})
    )
    # Any model without its head serves as an encoder here.
    chosen = override_recipe(
        recipe, evaluation__rivals=["head"], evaluation__encoder=str(tiny_model_folder), training__max_steps=9
    )
    run = RunFolder(tmp_path / "run")
    Pipeline(chosen, run).run_all()
    metrics = json.loads(run.evaluation_metrics.read_text())
    assert set(metrics["rivals"]) == {"head", "encoder"}
    head, encoder = trained
    # As much arithmetic as the baseline: its prompts lack only the label.
    assert head[0] == 24 and 9 <= head[1] <= 11 and head[2] is False
    assert encoder == (24, 8, True)  # five epochs of 24 rows, 16 a step
    for name in ("head", "encoder"):
        found = said(run, name)
        assert len(found) == 12 and all(abs(sum(one.probabilities) - 1) < 1e-6 for one in found)
    text = run.report.read_text()
    assert (
        "Classification head" in text
        and "Encoder, fine-tuned" in text
        and "fine-tuned on the same rows" in text
    )
    Pipeline(override_recipe(chosen, evaluation__bootstrap_samples=300), run).evaluate()
    assert len(trained) == 2


def test_a_head_needs_all_weights(recipe, tmp_path):
    chosen = override_recipe(recipe, evaluation__rivals=["head"], training__method="lora")
    with pytest.raises(RecipeError, match="The rival head trains all weights"):
        Pipeline(chosen, RunFolder(tmp_path)).check(evaluated=True)


def test_an_encoder_can_learn_from_pairs_of_texts(finished, recipe, bert, tmp_path):
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    chosen = override_recipe(
        recipe, evaluation__encoder=str(bert), evaluation__encoder_training=["setfit"], evaluation__rivals=[]
    )
    Pipeline(chosen, run).evaluate()
    metrics = json.loads(run.evaluation_metrics.read_text())
    assert set(metrics["rivals"]) == {"setfit"}
    found = said(run, "setfit")
    assert len(found) == 12 and all(abs(sum(one.probabilities) - 1) < 1e-6 for one in found)
    assert "Encoder, SetFit" in run.report.read_text()


def test_setfit_is_refused_where_several_processes_train(recipe, bert, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    chosen = override_recipe(recipe, evaluation__encoder=str(bert), evaluation__encoder_training=["setfit"])
    with pytest.raises(RecipeError, match="SetFit trains in one process"):
        Pipeline(chosen, RunFolder(tmp_path)).check(evaluated=True)


def test_setfit_needs_its_package(recipe, bert, tmp_path, monkeypatch):
    known = preflight.find_spec
    monkeypatch.setattr(
        preflight, "find_spec", lambda name: None if name == "sentence_transformers" else known(name)
    )
    chosen = override_recipe(recipe, evaluation__encoder=str(bert), evaluation__encoder_training=["setfit"])
    with pytest.raises(RecipeError, match=r"setfit needs the package sentence-transformers") as error:
        Pipeline(chosen, RunFolder(tmp_path)).check(evaluated=True)
    assert "whylabel[setfit]" in str(error.value)
