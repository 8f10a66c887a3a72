"""Models of many families are trained, saved, read again and asked: each answers as it does row by row."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from families import FAMILIES, WINDOW, build

from trained_models import LABELS, RECIPE, labelled
from whylabel.errors import ModelError
from whylabel.models.load import load, prepare_for_training
from whylabel.prediction import scoring
from whylabel.prediction.scoring import probabilities, score_one_by_one
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import LossConfig, TrainingConfig, override_recipe
from whylabel.stages.classifier import save_checked, train_classifier
from whylabel.text.prompts import Prompts
from whylabel.training import train
from whylabel.types import ReasonedExample

TEXTS = ["It was a grey day, number 7", "ok", "It was a bright day " + "and a long one, " * 6]
QUICK = override_recipe(
    RECIPE, training__num_train_epochs=1, classifier__max_reasoning_tokens=10, classifier__votes=2
)


@pytest.fixture
def base(tokenizer, tmp_path):
    """Return a function that saves a tiny model of a family and returns its folder."""

    def make(family, **changes):
        folder = tmp_path / "base"
        build(family, len(tokenizer), **changes).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


def trained(base, folder, target="dual", rows=8, recipe=QUICK):
    """Return a model as it comes back from disk, and what was saved."""
    loaded = load(str(base), device="cpu")
    examples = list(labelled(target != "label", count=rows))
    card, figures = train_classifier(
        loaded,
        examples,
        LABELS,
        recipe,
        target=target,
        title="t",
        checkpoints=folder / "checkpoints",
        lineage={},
    )
    save_checked(loaded, card, examples, folder / "model")
    assert figures["steps"] > 0
    return TrainedClassifier.from_folder(folder / "model", device="cpu")


def written_alone(model, text):
    """Return the reasoning that ordinary passes over the row alone give, without any cache."""
    ids, written = model.prompts.classifier(text, "reasoning_label"), []
    while len(written) < model.card.max_reasoning_tokens:
        logits = model.loaded.model(torch.tensor([[*ids, *written]])).logits[0, -1]
        token = int(logits.argmax())
        if token in model.prompts.stop_ids:
            break
        written.append(token)
    return model.loaded.tokenizer.decode(written, skip_special_tokens=True).strip()


def labelled_alone(model, prompt, form="label"):
    labels = [model.prompts.label_ids(name, form) for name in model.labels.names]
    return probabilities(score_one_by_one(model.loaded, [prompt], labels))[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_mode_answers_as_each_row_alone(base, tmp_path, family):
    recipe = override_recipe(QUICK, training__max_length=512)
    model = trained(base(family), tmp_path, recipe=recipe)
    rows = [(str(place), text) for place, text in enumerate(TEXTS)]
    with torch.inference_mode():
        for text, fast in zip(TEXTS, model.predict(rows, "fast"), strict=True):
            expected = labelled_alone(model, model.prompts.classifier(text, "label"))
            np.testing.assert_allclose(fast.probabilities, expected, atol=1e-3)
        for text, reasoned in zip(TEXTS, model.predict(rows, "reasoned", show_all=True), strict=True):
            assert reasoned.status != "failed", reasoned.error
            assert reasoned.reasoning == written_alone(model, text)
            expected = labelled_alone(model, model.prompts.after_reasoning(text, reasoned.reasoning))
            np.testing.assert_allclose(reasoned.probabilities, expected, atol=1e-3)
    assert [row.status for row in model.predict(rows, "vote") if row.status == "failed"] == []
    record = json.loads((tmp_path / "model" / "whylabel.json").read_text())["capabilities"]
    assert model.loaded.tried.to_json() == record
    assert record["writes"] is True


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize(
    "family", ["OPT", "MPT", "Bloom", "Falcon", "XGLM", "gpt-oss", "Qwen3-Next", "GPT-Neo"]
)
def test_training_rows_do_not_see_each_other(base, tmp_path, family, packing):
    """The loss of the first step, of rows together, is that of every row alone."""
    folder = base(family, **({"dropout": 0.0, "attention_dropout": 0.0} if family in ("OPT", "XGLM") else {}))
    loaded, alone = load(str(folder), device="cpu"), load(str(folder), device="cpu")
    for one in (loaded, alone):
        prepare_for_training(one)
    prompts = Prompts(loaded.tokenizer)
    rows = [
        prompts.classifier_example(f"It was {word} " + "and so on " * place, "joy", f"It says {word}.")
        for place, word in enumerate(["bright", "grey", "loud", "quiet", "black"])
    ]
    config = TrainingConfig(
        max_steps=1, packing=packing, max_length=256, dtype="float32", loss=LossConfig(normalise="token")
    )
    found = train(loaded, rows, config, seed=1, checkpoints=tmp_path / "checkpoints", title="t").train_loss
    scores = [score_one_by_one(alone, [row.prompt_ids], [row.completion_ids])[0, 0] for row in rows]
    expected = -sum(scores) / sum(len(row.completion_ids) for row in rows)
    assert found == pytest.approx(expected, abs=1e-3)


def test_a_row_beyond_a_window_is_answered_as_alone(base, tmp_path):
    for family in ("GPT-Neo", "Mistral"):
        recipe = override_recipe(QUICK, training__max_length=512)
        model = trained(base(family), tmp_path / family, recipe=recipe)
        text = "and so on " * WINDOW
        assert model.prompts.count(text) > WINDOW
        fast = next(model.predict([("1", text)], "fast"))
        expected = labelled_alone(model, model.prompts.classifier(text, "label"))
        np.testing.assert_allclose(fast.probabilities, expected, atol=1e-3)


# -- positions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["dual", "label"])
def test_texts_are_trimmed_to_what_the_positions_leave(base, tmp_path, target):
    recipe = override_recipe(QUICK, training__max_length=128)
    model = trained(base("GPT-2", n_positions=128), tmp_path, target, recipe=recipe)
    assert json.loads((tmp_path / "model" / "whylabel.json").read_text())["max_text_tokens"] < 128
    rows = [("long", "and so on " * 300), ("short", "ok")]
    for mode in model.card.modes:
        long, short = model.predict(rows, mode, show_all=True)
        assert (long.status, long.error) == ("truncated" if long.reasoning is None else long.status, None)
        assert long.status != "failed" and short.status != "failed"
    # A card from elsewhere, or of an older version, may say more.
    other = TrainedClassifier(model.loaded, replace(model.card, max_text_tokens=1024))
    assert [row.probabilities for row in other.predict(rows, "fast")] == [
        row.probabilities for row in model.predict(rows, "fast")
    ]


def test_rows_longer_than_the_positions_are_refused_before_training(base, tmp_path):
    with pytest.raises(ModelError, match=r"512 positions, .*: training\.max_length=1024\."):
        trained(base("GPT-2"), tmp_path)


def test_positions_that_leave_no_room_for_a_text_are_an_error_in_words(base, tmp_path):
    recipe = override_recipe(QUICK, training__max_length=64, classifier__max_reasoning_tokens=60)
    with pytest.raises(ModelError, match="64 positions leave no room for a text .* 60 tokens of reasoning"):
        trained(base("GPT-2", n_positions=64), tmp_path, recipe=recipe)


# -- what is refused -----------------------------------------------------------------------------------------


def test_an_encoder_is_refused_before_training(tokenizer, tmp_path):
    from transformers import RobertaConfig, RobertaForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    folder = tmp_path / "base"
    RobertaForCausalLM(RobertaConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="'roberta' looks ahead"):
        trained(folder, tmp_path)
    assert not (tmp_path / "model").exists()


def test_a_model_that_answers_nothing_is_not_saved_as_checked(base, tmp_path, monkeypatch):
    model = trained(base("Llama 2/3"), tmp_path)

    score = scoring.score_rows

    def failing(loaded, rows, trie):
        # A prompt of one token is what is tried out to tell a broken model from a row that it cannot take.
        if any(row.tokens for row in rows):
            raise RuntimeError("no kernel for this")
        return score(loaded, rows, trie)

    monkeypatch.setattr(scoring, "score_rows", failing)
    with pytest.raises(ModelError, match="answers no row in mode 'fast': no kernel for this"):
        save_checked(model.loaded, model.card, list(labelled(True)), tmp_path / "other")
    with pytest.raises(ModelError, match="there are no rows"):
        save_checked(model.loaded, model.card, [], tmp_path / "empty")


def test_a_model_that_writes_wrong_with_a_cache_is_refused_for_reasonings_only(base, tmp_path):
    folder = base("Llama 2/3")
    loaded = load(str(folder), device="cpu")
    loaded.tried = replace(loaded.capabilities(1024), writes=False)
    rows = [
        ReasonedExample("1", "It was grey", "sad", "It says grey."),
        ReasonedExample("2", "sun", "joy", "Sun."),
    ]
    named = {"title": "t", "checkpoints": tmp_path / "checkpoints", "lineage": {}}
    with pytest.raises(ModelError, match="writes other tokens than it predicts"):
        train_classifier(loaded, rows, LABELS, QUICK, target="dual", **named)
    train_classifier(loaded, rows, LABELS, QUICK, target="label", **named)
