"""One text's way through a mode, against the same mode over many texts."""

from dataclasses import replace

import numpy as np
import pytest

from trained_models import train_tiny
from whylabel.engines.base import Completion
from whylabel.engines.transformers_writer import TransformersWriter
from whylabel.prediction.steps import Score, Write
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import ShownConfig

TEXT = "It was a grey day, number 4"


@pytest.fixture(scope="module")
def model(tiny_model_folder, tmp_path_factory):
    return train_tiny(tiny_model_folder, tmp_path_factory.mktemp("steps"), "dual", validation=24)


def walk(model, steps, write=None):
    """Compute what a text wants until it has its prediction; return it with the steps that it took."""
    taken = []
    step = next(steps)
    while True:
        taken.append(step)
        scores = isinstance(step, Score)
        try:
            step = steps.send(model.score(step.prompts) if scores else (write or written)(model, step))
        except StopIteration as end:
            return end.value, taken


def written(model, step):
    writer = TransformersWriter(model.loaded)
    rows = [writer.submit(0, step.prompt, sampling) for sampling in step.samplings]
    while not writer.is_idle:
        writer.step()
    return [row.completion(model.loaded.tokenizer) for row in rows]


@pytest.mark.parametrize("mode", ["fast", "reasoned", "adaptive", "blend"])
def test_a_prediction_is_that_of_predict(model, mode):
    (wanted,) = model.predict([("7", TEXT)], mode, evidence=True, show_all=True)
    found, _ = walk(model, model.steps("7", TEXT, mode, evidence=True, show_all=True))
    assert (found.id, found.label, found.mode, found.status) == ("7", wanted.label, mode, wanted.status)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-5)
    assert (found.reasoning, found.reasoning_status) == (wanted.reasoning, wanted.reasoning_status)
    assert (found.disagrees, found.tokens) == (wanted.disagrees, wanted.tokens)
    assert [(one.start, one.end) for one in found.evidence] == [
        (one.start, one.end) for one in wanted.evidence
    ]


@pytest.mark.parametrize(("least", "expected"), [(-1.0, "ok"), (1e9, "withheld: unrelated")])
def test_the_effect_of_what_is_quoted_is_that_of_predict(model, least, expected):
    filters = ShownConfig(names=[], min_probability=0).model_copy(update={"min_effect": least})
    other = TrainedClassifier(model.loaded, replace(model.card, filters=filters, reasoning_attempts=1))
    (wanted,) = other.predict([("7", TEXT)], "reasoned")
    found, steps = walk(other, other.steps("7", TEXT, "reasoned"))
    assert len(steps) == 3 and len(steps[-1].prompts) == 1
    if wanted.disagrees is False:
        assert wanted.reasoning_status == found.reasoning_status == expected
    assert found.reasoning_status == wanted.reasoning_status


def test_what_is_scored_alone_does_not_wait_for_longer_work(model):
    _, (step,) = walk(model, model.steps("7", TEXT, "fast"))
    assert step.is_all
    _, (write, score) = walk(model, model.steps("7", TEXT, "reasoned"))
    assert isinstance(write, Write) and not score.is_all


def test_seeds_depend_on_the_text_alone(model):
    def seeds(text):
        _, (write, _) = walk(model, model.steps("7", text, "vote"))
        return [sampling.seed for sampling in write.samplings]

    assert len(set(seeds(TEXT))) == model.card.vote.reasonings
    assert seeds(TEXT) == seeds(TEXT)
    assert not set(seeds(TEXT)) & set(seeds(f"{TEXT}!"))


def test_a_reasoning_that_fails_is_said(model):
    def fail(_model, step):
        return [Completion(0, "", 3, 0, "error", error="no room")] * len(step.samplings)

    found, _ = walk(model, model.steps("7", TEXT, "reasoned"), fail)
    assert (found.status, found.error, found.label) == ("failed", "no room", "")
    votes, _ = walk(model, model.steps("7", TEXT, "vote"), fail)
    assert (votes.status, votes.error) == ("failed", "no room")


@pytest.mark.parametrize("text", [None, " ", "a\0b", "\ud800"])
def test_an_unusable_text_needs_no_step(model, text):
    with pytest.raises(StopIteration) as end:
        next(model.steps("7", text, "reasoned"))
    assert end.value.value.status == "failed"


def test_a_long_text_is_trimmed(model):
    text = "It was a grey day. " * 300
    (wanted,) = model.predict([("7", text)], "fast")
    found, _ = walk(model, model.steps("7", text, "fast"))
    assert (found.status, found.label) == ("truncated", wanted.label)


def test_the_seconds_of_a_prediction_include_its_evidence(model, monkeypatch):
    score, scored = type(model).score, []

    def slow(self, prompts):
        scored.extend(prompts)
        return [replace(answer, seconds=2.0) for answer in score(self, prompts)]

    monkeypatch.setattr(type(model), "score", slow)
    found, _ = walk(model, model.steps("7", TEXT, "fast", evidence=True))
    assert found.seconds == 2.0 * len(scored) > 4.0
