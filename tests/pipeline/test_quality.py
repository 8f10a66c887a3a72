"""Models judge a sample of the classifier's reasonings."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from whylabel.evaluation.judged import quoted_evidence
from whylabel.evaluation.predictions import by_model_and_mode, read_predictions
from whylabel.evaluation.quality import share_of
from whylabel.models.load import load
from whylabel.pipeline import Pipeline
from whylabel.pipeline.job import Job
from whylabel.pipeline.quality import judge_reasonings
from whylabel.prediction.fluency import Fluency
from whylabel.prediction.trained import TrainedClassifier
from whylabel.reasonings.files import iterate_kept
from whylabel.recipe import override_recipe
from whylabel.stages.augment.verification import Verifier
from whylabel.text.prompts import Prompts
from whylabel.types import Evidence, ReasonedExample

REASONED = "'{word}' tells of it, as number {number} does."


@pytest.fixture(scope="module")
def rows(finished):
    """The predictions of a finished run, with reasonings that quote the first word of their text."""
    found = read_predictions(finished.predictions)
    return [
        replace(row, prediction=replace(row.prediction, reasoning=_reasoning(row.text, number)))
        if row.prediction.mode == "reasoned"
        else row
        for number, row in enumerate(found)
    ]


def _reasoning(text, number):
    return REASONED.format(word=text.split()[0], number=number)


def job_of(recipe, run, **values):
    return Job("evaluate", "key", Pipeline(override_recipe(recipe, **values), run).inputs, run)


def first_two(text):
    """Return evidence that an untrained model does not find: the first two characters of a text."""
    return (Evidence(0, 2, text[:2], 1.0),)


def test_the_figures_are_those_of_the_base_model_and_of_the_measured_evidence(
    recipe, finished, rows, capsys, monkeypatch
):
    def with_evidence(model, texts, predictions):
        assert model.card.target == "dual"
        for (_, text), prediction in zip(texts, predictions, strict=True):
            assert prediction.mode == "reasoned" and text.split()[0] in prediction.reasoning
            yield replace(prediction, evidence=first_two(text))

    monkeypatch.setattr(TrainedClassifier, "with_evidence", with_evidence)
    job = job_of(recipe, finished)
    found = judge_reasonings(job, by_model_and_mode(rows), "reasoned")
    assert re.search(r"quality of the reasonings: (\d+) of \1 rows", capsys.readouterr().err)
    mine = [row for row in rows if row.prediction.mode == "reasoned"]
    assert found is not None and found.n == len(mine) == 12
    loaded = load(recipe.base_model)
    prompts = Prompts(loaded.tokenizer, recipe.prompt_style, recipe.task.question, recipe.task.name)
    fluency = Fluency(loaded, prompts)
    fluencies = [fluency.of(row.text, row.prediction.reasoning) for row in mine]
    training = [fluency.of(row.text, row.reasoning) for row in iterate_kept(finished.kept)]
    assert found.fluency is not None and found.fluency.training_n == len(training) > 0
    assert found.fluency.median == pytest.approx(np.median(fluencies), abs=1e-4)
    assert found.fluency.training_median == pytest.approx(np.median(training), abs=1e-4)
    assert found.fluency.below == share_of(sum(np.array(fluencies) < found.fluency.limit), 12)
    examples = [
        ReasonedExample(row.prediction.id, row.text, row.prediction.label, row.prediction.reasoning)
        for row in mine
    ]
    lifts = Verifier(loaded, prompts, job.inputs.labels, trained=False).lifts(examples)
    assert found.support.mean_margin == pytest.approx(np.mean([lift.margin for lift in lifts]), abs=1e-4)
    quoted = [quoted_evidence(row.prediction.reasoning, row.text, first_two(row.text)) for row in mine]
    inside, characters = (
        sum(getattr(each, name) for each in quoted if each is not None) for name in ("inside", "characters")
    )
    assert found.overlap is not None and found.overlap.inside == pytest.approx(inside / characters)


def test_a_control_is_compared_with_the_spoilt_reasonings_that_it_learnt(recipe, finished, rows, monkeypatch):
    asked = []
    monkeypatch.setattr(Fluency, "of", lambda fluency, text, reasoning: asked.append(reasoning) or 0.0)
    said = by_model_and_mode(rows)
    for control in (None, "filler"):
        judge_reasonings(job_of(recipe, finished, classifier__control=control), said, "reasoned")
    half = len(asked) // 2
    plain, spoilt = asked[:half][12:], asked[half:][12:]
    assert len(plain) == len(spoilt) > 0
    assert not any(set(reasoning) <= {".", " "} for reasoning in plain)
    assert all(set(reasoning) <= {".", " "} for reasoning in spoilt)


def test_the_sample_is_drawn_with_the_seed(recipe, finished, rows, monkeypatch):
    asked, lifts = [], Verifier.lifts

    def noted(verifier, examples):
        asked.append([row.id for row in examples])
        return lifts(verifier, examples)

    monkeypatch.setattr(Verifier, "lifts", noted)
    for seed in (13, 13, 14):
        judge_reasonings(
            job_of(recipe, finished, seed=seed, evaluation__quality_rows=5),
            by_model_and_mode(rows),
            "reasoned",
        )
    assert asked[0] == asked[1] != asked[2] and len(asked[0]) == 5


def test_without_reasonings_or_if_none_are_wanted_no_model_is_loaded(recipe, finished, rows, monkeypatch):
    monkeypatch.setattr("whylabel.models.load.load", None)
    said = by_model_and_mode(rows)
    assert judge_reasonings(job_of(recipe, finished, evaluation__quality_rows=0), said, "reasoned") is None
    assert judge_reasonings(job_of(recipe, finished), said, "fast") is None
    others = [replace(row, model="baseline") for row in rows]
    assert judge_reasonings(job_of(recipe, finished), by_model_and_mode(others), "reasoned") is None


def test_where_nothing_is_quoted_the_classifier_is_not_asked(recipe, finished, rows, monkeypatch):
    monkeypatch.setattr(TrainedClassifier, "from_folder", None)
    plain = [replace(row, prediction=replace(row.prediction, reasoning="It is so.")) for row in rows]
    job = job_of(recipe, finished, evaluation__quality_rows=3)
    found = judge_reasonings(job, by_model_and_mode(plain), "reasoned")
    assert found is not None and (found.n, found.overlap) == (3, None)


def test_a_run_from_before_stays_current(recipe, finished, changed_stages):
    assert "evaluation.quality_rows" not in Pipeline(recipe, finished).keys.evaluate().parts
    assert changed_stages(recipe, finished, evaluation__quality_rows=4) == ["evaluate"]
    metrics = json.loads(finished.evaluation_metrics.read_text())
    written = [
        row
        for row in read_predictions(finished.predictions)
        if row.model == "classifier" and row.prediction.mode == "reasoned" and row.prediction.reasoning
    ]
    judged = metrics["reasonings_judged"]
    assert (judged and judged["n"]) == (len(written) or None)
