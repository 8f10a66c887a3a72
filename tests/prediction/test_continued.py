"""Labels scored from the cache that the writing of a reasoning has left."""

import numpy as np
import pytest

from trained_models import RECIPE, labelled, train_tiny
from whylabel.engines.base import Sampling
from whylabel.engines.transformers import TransformersEngine
from whylabel.prediction.continued import ContinuedScorer
from whylabel.prediction.scoring import LabelScorer
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import override_recipe
from whylabel.text.prompts import Prompt

ROWS = [(row.id, row.text + " and so on" * int(row.id)) for row in labelled(False, 0, 9)]


@pytest.fixture(scope="module", params=["compact", "chat"])
def model(request, tiny_model_folder, tmp_path_factory):
    recipe = override_recipe(RECIPE, prompt_style=request.param)
    return train_tiny(tiny_model_folder, tmp_path_factory.mktemp(request.param), "dual", recipe=recipe)


def batches(model, limit=40, texts=ROWS, **options):
    """Return what is shown of every batch, with the completions."""
    shown = []
    stops = tuple(sorted(model.prompts.stop_ids))
    prompts = [Prompt(model.prompts.classifier(text, "reasoning_label")) for _, text in texts]
    engine = TransformersEngine(model.loaded, **options)
    list(engine.generate(prompts, Sampling(limit, stops), inspect=shown.append))
    return shown


def scorers(model):
    scorer = LabelScorer(model.loaded, [model.prompts.label_ids(name) for name in model.labels.names])
    return ContinuedScorer(model.loaded, scorer), scorer


def contexts(model, batch):
    """Return the prompts of labels after the reasonings of a batch, each with its row."""
    return [
        (row, model.prompts.after_reasoning(ROWS[item.index][1], item.text))
        for row, item in enumerate(batch.completions)
    ]


def at_once(model, batch):
    """Return the prompts of labels without a reasoning, each with the row that begins like it."""
    return [
        (row, model.prompts.classifier(ROWS[item.index][1], "label"))
        for row, item in enumerate(batch.completions)
    ]


def prompts_of(asked):
    return [prompt for _, prompt in asked]


@pytest.mark.parametrize("limit", [1, 3, 40])
def test_the_scores_are_those_of_an_ordinary_pass(model, limit):
    """After reasonings that end by themselves or are cut, and without one, of different lengths."""
    continued, scorer = scorers(model)
    seen = 0
    for batch in batches(model, limit, max_rows=4):
        asked = [*contexts(model, batch), *at_once(model, batch)]
        found = continued.log_scores(batch, asked)
        assert all(row is not None for row in found[len(batch.completions) :])
        for row, expected in zip(found, scorer.log_scores(prompts_of(asked)), strict=True):
            if row is not None:
                seen += 1
                np.testing.assert_allclose(row, expected, atol=1e-4)
    assert seen >= len(ROWS) * 3 // 2, "hardly any reasoning is encoded as it was written"


def test_other_tokens_than_those_written_are_computed_again_if_they_are_few(model):
    (batch,) = batches(model)
    continued, scorer = scorers(model)
    (row, prompt), *_ = asked = at_once(model, batch)
    few, many = (row, [*prompt[:-1], 5, *prompt[-1:]]), (row, [*prompt[:8], *range(5, 50)])
    found = continued.log_scores(batch, [few, many, *asked[1:]])
    np.testing.assert_allclose(found[0], scorer.log_scores([few[1]])[0], atol=1e-4)
    assert found[1] is None
    assert all(row is not None for row in found[2:])


def test_a_cache_that_gives_other_scores_is_never_used(model):
    continued, _ = scorers(model)
    for batch in batches(model, max_rows=4):
        for layer in batch.cache.layers:
            layer.values = layer.values * -3
        assert continued.log_scores(batch, contexts(model, batch)) == [None] * len(batch.completions)
    (right,) = batches(model, texts=ROWS[:4])
    assert continued.log_scores(right, contexts(model, right)) == [None] * 4


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]], ids=["longest last", "longest first"])
def test_prediction_scores_every_reasoning_once(model, monkeypatch, rows):
    passes = []
    real = LabelScorer.log_scores
    monkeypatch.setattr(
        LabelScorer, "log_scores", lambda self, prompts: passes.append(len(prompts)) or real(self, prompts)
    )
    found = list(TrainedClassifier(model.loaded, model.card).predict(rows, "reasoned"))
    # Two of the first row to see that the cache gives the same, and reasonings that are encoded quite otherwise.
    assert sum(passes) <= 2 + len(rows) // 2
    without = TrainedClassifier(model.loaded, model.card)
    without._reader.answerer._continued = None
    for row, other in zip(found, without.predict(rows, "reasoned"), strict=True):
        assert (row.id, row.label, row.reasoning, row.status) == (
            other.id, other.label, other.reasoning, other.status,
        )  # fmt: skip
        np.testing.assert_allclose(row.probabilities, other.probabilities, atol=1e-5)


def test_a_model_that_refuses_the_cache_is_scored_by_ordinary_passes(model, monkeypatch):
    def refuses(*_arguments):
        raise ValueError("this model takes no mask with a cache")

    monkeypatch.setattr("whylabel.prediction.continued._scores", refuses)
    predictions = list(TrainedClassifier(model.loaded, model.card).predict(ROWS, "reasoned"))
    assert all(row.status != "failed" for row in predictions)
