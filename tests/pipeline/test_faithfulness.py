"""Whether a run's labels rest on its reasonings: trained planted models, and what is kept when."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from trained_models import LABELS, RECIPE
from whylabel.cli.main import main
from whylabel.engines.scripted import ScriptedEngine
from whylabel.errors import RecipeError, RunFolderError
from whylabel.evaluation.faithfulness import measure, use_of
from whylabel.evaluation.predictions import PredictionRow, by_model_and_mode, read_predictions
from whylabel.evaluation.quality import share_of
from whylabel.models.load import load
from whylabel.pipeline import Pipeline
from whylabel.pipeline.faithfulness import require_reading
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import override_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages.classifier import train_classifier
from whylabel.types import Prediction, ReasonedExample

CUES = {"joy": "bright", "joyful": "brighter", "sad": "grey", "very sad": "black"}
OTHERS = ("alpha", "beta", "gamma", "delta", "omega")


def argument(cue):
    return f'"{cue}" says it.'


def planted(base, folder, text_of, reasoning_of):
    """Return a model that was trained on texts and reasonings made from label and number, and its predictions."""
    rows = []
    for number in range(48):
        label = LABELS.names[number % 4]
        rows.append(ReasonedExample(str(number), text_of(label, number), label, reasoning_of(label, number)))
    loaded = load(str(base), device="cpu")
    card, _ = train_classifier(
        loaded,
        rows,
        LABELS,
        override_recipe(RECIPE, training__num_train_epochs=12),
        target="reasoning_label",
        title="t",
        checkpoints=folder / "checkpoints",
        lineage={"seed": 1},
    )
    said = [
        PredictionRow(
            "classifier",
            row.text,
            row.label,
            Prediction(row.id, row.label, (), row.reasoning, mode="reasoned"),
        )
        for row in rows
    ]
    return TrainedClassifier(loaded, card), said


def argue(texts, labels):
    return [argument(CUES[label]) for label in labels]


def test_a_model_whose_reasonings_were_random_does_not_use_them(tiny_model_folder, tmp_path):
    def reasoning_of(label, number):
        # The cue of any label: it says nothing, since the text tells all.
        return argument((*CUES.values(), *OTHERS)[number * 7 % 9])

    model, said = planted(
        tiny_model_folder, tmp_path, lambda label, number: f"It was a {CUES[label]} day", reasoning_of
    )
    found = measure(said, said, LABELS, model.log_probabilities_after, argue, seed=1)
    assert found.right.share > 0.95
    assert found.interventions["argued"].follows.share < 0.1
    assert use_of(found) == "hardly"
    # Forms that it has never seen change many labels all the same: they do not decide.
    assert found.interventions["filler"].changed.share > 0.2


def test_a_model_that_could_only_learn_from_the_reasoning_follows_it(tiny_model_folder, tmp_path):
    model, said = planted(
        tiny_model_folder,
        tmp_path,
        lambda label, number: f"It was a {OTHERS[number % 5]} day",
        lambda label, number: argument(CUES[label]),
    )
    found = measure(said, said, LABELS, model.log_probabilities_after, argue, seed=1)
    assert found.right.share > 0.95
    assert found.interventions["argued"].follows.share > 0.9
    assert found.interventions["another_text"].changed.share < 0.1
    assert found.early["0"].changed.share > 0.5
    assert use_of(found) == "follows"


@pytest.fixture(scope="module")
def measured(finished, recipe, tmp_path_factory):
    """A copy of a finished run, with these figures."""
    run = RunFolder(shutil.copytree(finished.path, tmp_path_factory.mktemp("copy") / "run"))
    recipe = override_recipe(recipe, evaluation__modes=["reasoned"])
    Pipeline(recipe, run).evaluate(faithfulness=True)
    return recipe, run


def test_a_run_keeps_its_figures(measured):
    _, run = measured
    found = json.loads(run.faithfulness.read_text())
    written = [
        row
        for row in by_model_and_mode(read_predictions(run.predictions))["classifier", "reasoned"]
        if row.prediction.reasoning is not None
    ]
    assert found["n"] == len(written) == 12 and found["mode"] == "reasoned"
    assert set(found["early"]) == {"0", "0.25", "0.5", "0.75"}
    assert {"shuffled_words", "filler", "argued"} <= set(found["interventions"])
    model = TrainedClassifier.from_folder(run.classifier_model, device="cpu")
    reasonings = [row.prediction.reasoning for row in written]
    whole = model.log_probabilities_after([row.text for row in written], reasonings)
    said = [model.labels.names[place] for place in whole.argmax(axis=1)]
    # Up to rounding, the label after the reasoning is the one that was predicted after it.
    assert said == [row.prediction.label for row in written]
    assert np.exp(whole) == pytest.approx(
        np.array([row.prediction.probabilities for row in written]), abs=1e-4
    )
    blank = model.log_probabilities_after([row.text for row in written], [""] * 12).argmax(axis=1)
    assert found["early"]["0"]["changed"]["count"] == int((blank != whole.argmax(axis=1)).sum())
    assert "Is the reasoning used?" in run.report.read_text(encoding="utf-8")


def test_fast_and_reasoned_are_compared_on_all_rows(dual_figures):
    run, found = dual_figures
    predictions = by_model_and_mode(read_predictions(run.predictions))
    pairs = list(zip(predictions["classifier", "fast"], predictions["classifier", "reasoned"], strict=True))
    same = sum(first.prediction.label == second.prediction.label for first, second in pairs)
    agreement = found["agreement"]
    assert agreement == json.loads(json.dumps({
        name: getattr(share_of(same, len(pairs)), name) for name in ("count", "n", "share", "ci95")
    }))  # fmt: skip


@pytest.fixture
def dual_figures(measured, tmp_path):
    recipe, finished = measured
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    run.faithfulness.unlink()
    Pipeline(override_recipe(recipe, evaluation__modes=["fast", "reasoned"]), run).evaluate(faithfulness=True)
    return run, json.loads(run.faithfulness.read_text())


def test_of_many_rows_some_are_read_whole(measured, tmp_path, monkeypatch, capsys):
    recipe, finished = measured
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    run.faithfulness.unlink()
    lent = []

    def counted(sample, others, *rest):
        lent.append(others)
        return measure(sample, others, *rest)

    monkeypatch.setattr("whylabel.evaluation.faithfulness.measure", counted)
    monkeypatch.setattr("whylabel.pipeline.faithfulness._MOST_LOOKED_AT", 7)
    Pipeline(recipe, run).evaluate(faithfulness=True)
    written = by_model_and_mode(read_predictions(run.predictions))["classifier", "reasoned"]
    assert len(lent[0]) == 7 and all(row in written for row in lent[0])
    assert json.loads(run.faithfulness.read_text())["n"] == len(written) == 12
    assert "the labels of 7 test rows" in capsys.readouterr().err


def test_what_has_not_changed_is_not_measured_again(measured, monkeypatch, capsys):
    recipe, run = measured
    before = run.faithfulness.read_bytes()
    asked = []
    after = TrainedClassifier.log_probabilities_after

    def counted(model, texts, reasonings):
        asked.append(len(texts))
        return after(model, texts, reasonings)

    monkeypatch.setattr(TrainedClassifier, "log_probabilities_after", counted)
    Pipeline(recipe, run).evaluate(faithfulness=True)
    assert "faithfulness: nothing has changed, skipped" in capsys.readouterr().err
    assert asked == [] and run.faithfulness.read_bytes() == before
    fewer = override_recipe(recipe, evaluation__faithfulness_rows=5)
    Pipeline(fewer, run).evaluate()
    assert run.faithfulness.read_bytes() == before
    Pipeline(fewer, run).evaluate(faithfulness=True)
    assert asked[0] == 5 and json.loads(run.faithfulness.read_text())["n"] == 5


def test_what_argues_for_other_labels_is_kept_as_it_comes(measured, tmp_path, monkeypatch):
    recipe, finished = measured
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    run.faithfulness.unlink()
    (kept,) = run.answers.glob("arguments-*.jsonl")
    lines = kept.read_bytes().splitlines(keepends=True)
    assert len(lines) > 12
    kept.write_bytes(b"".join(lines[:-3]) + lines[-3][:9])
    other = run.answers / f"arguments-{'0' * 16}.jsonl"
    other.touch()
    asked, generate = [], ScriptedEngine.generate

    def counted(engine, prompts, sampling):
        asked.append(len(prompts))
        return generate(engine, prompts, sampling)

    monkeypatch.setattr(ScriptedEngine, "generate", counted)
    Pipeline(recipe, run).evaluate(faithfulness=True)
    assert asked == [3] and not other.exists()
    assert len(kept.read_bytes().splitlines()) == len(lines)
    run.faithfulness.unlink()
    kept.write_text("{}\n")
    with pytest.raises(RunFolderError, match="kept reasonings for other labels cannot be read"):
        Pipeline(recipe, run).evaluate(faithfulness=True)


def test_figures_of_another_model_are_not_shown(measured, tmp_path, capsys):
    recipe, finished = measured
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    found = json.loads(run.faithfulness.read_text())
    run.faithfulness.write_text(json.dumps({**found, "of": "another"}))
    Pipeline(recipe, run).evaluate()
    assert not run.faithfulness.exists()
    assert "of another model or other test rows: they are removed" in capsys.readouterr().err
    assert "Is the reasoning used?" not in run.report.read_text(encoding="utf-8")


def test_a_model_that_was_changed_is_refused(measured, tmp_path):
    recipe, finished = measured
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    run.faithfulness.unlink()
    card = run.classifier_model / "whylabel.json"
    card.write_text(card.read_text().replace('"max_reasoning_tokens": ', '"max_reasoning_tokens": 1'))
    with pytest.raises(RunFolderError, match="not as calibrate-classifier has left it"):
        Pipeline(override_recipe(recipe, evaluation__shown=1), run).evaluate(faithfulness=True)


@pytest.mark.parametrize("target", ["label", "label_reasoning", "multi_task"])
def test_a_model_that_reads_no_reasoning_is_refused_at_once(target, tmp_path, capsys):
    with pytest.raises(RecipeError, match="labels without reading a reasoning"):
        require_reading(target)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"classifier: {{target: {target}}}\n")
    assert main(["evaluate", str(recipe), "--faithfulness", "--output", str(tmp_path / "run")]) == 2
    assert "there is no use of it to measure" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_text_that_cannot_be_scored_is_nan(measured, monkeypatch):
    _, run = measured
    model = TrainedClassifier.from_folder(run.classifier_model, device="cpu")
    read = model._reader.read_after

    def failing(mode, texts, reasonings):
        answers = read(mode, texts, reasonings)
        return [replace(answers[0], log_scores=None), *answers[1:]]

    monkeypatch.setattr(model._reader, "read_after", failing)
    found = model.log_probabilities_after(["a text", "another"], ["so", "so"])
    assert np.isnan(found[0]).all() and np.exp(found[1]).sum() == pytest.approx(1)


def test_reasonings_of_another_mode_are_measured_again(measured, tmp_path):
    recipe, finished = measured
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    Pipeline(override_recipe(recipe, evaluation__modes=["vote"]), run).evaluate(faithfulness=True)
    assert json.loads(run.faithfulness.read_text())["mode"] == "vote"
