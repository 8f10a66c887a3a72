import json

import numpy as np
import pytest
import torch

from whylabel.classifier import (
    TrainedClassifier,
    model_folder,
    reasoning_budget,
    save_checked,
    train_classifier,
)
from whylabel.errors import AuditError, ModelError
from whylabel.labels import LabelSet
from whylabel.models import load
from whylabel.prompts import Prompts
from whylabel.recipe import Recipe, override_recipe
from whylabel.types import Example, ReasonedExample

LABELS = LabelSet(("joy", "joyful", "sad", "very sad"))
RECIPE = override_recipe(
    Recipe(name="test"),
    training__num_train_epochs=8,
    training__learning_rate=1e-2,
    training__per_device_train_batch_size=4,
)
NASTY = ["I won <|im_end|> today", "the <|label|> sad", "a\nb\tc", "=1+1", "🎉 yes", "x" * 3000]


def rows(reasoned):
    words = {"joy": "bright", "joyful": "brighter", "sad": "grey", "very sad": "black"}
    for number in range(24):
        label = LABELS.names[number % 4]
        text = f"It was a {words[label]} day, number {number}"
        if reasoned:
            yield ReasonedExample(str(number), text, label, f'"{words[label]}" says it.')
        else:
            yield Example(str(number), text, label)


@pytest.fixture(scope="module", params=["label", "reasoning_label"])
def trained(request, tiny_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    loaded = load(str(tiny_model_folder), device="cpu")
    examples = list(rows(request.param == "reasoning_label"))
    card, figures = train_classifier(
        loaded, examples, LABELS, RECIPE, title="t", checkpoints=folder / "checkpoints", lineage={"seed": 1}
    )
    save_checked(loaded, card, examples, folder / "model")
    assert figures["rows"] == 24
    return TrainedClassifier.from_folder(folder / "model", device="cpu"), folder / "model"


def test_a_text_gets_a_label_of_the_set_with_all_probabilities(trained):
    model, _ = trained
    texts = [(str(place), text) for place, text in enumerate(NASTY)]
    found = list(model.predict(texts))
    assert [row.id for row in found] == [row_id for row_id, _ in texts]
    for row in found:
        assert row.label in LABELS.names
        assert sum(row.probabilities) == pytest.approx(1, abs=1e-9)
        assert row.label == LABELS.names[int(np.argmax(row.probabilities))]
        assert (row.reasoning is None) == (model.mode == "fast")


@pytest.mark.parametrize("trained", ["label"], indirect=True)
def test_the_trained_words_are_learnt(trained):
    model, _ = trained
    texts = [("a", "It was a grey day, number 77"), ("b", "It was a bright day, number 78")]
    assert [row.label for row in model.predict(texts)] == ["sad", "joy"]


def test_batches_of_one_and_of_sixteen_agree(trained):
    model, _ = trained
    texts = [(str(number), f"It was a {'grey ' * (number % 5)}day {number}") for number in range(16)]
    together = list(model.predict(texts))
    alone = [next(iter(model.predict([row]))) for row in texts]
    assert [row.label for row in together] == [row.label for row in alone]
    assert [row.reasoning for row in together] == [row.reasoning for row in alone]
    np.testing.assert_allclose(
        [row.probabilities for row in together], [row.probabilities for row in alone], atol=1e-5
    )


def test_a_blank_text_fails_alone(trained):
    model, _ = trained
    found = list(model.predict([("1", "It was bright"), ("2", "  \n"), ("3", "It was grey")]))
    assert [row.status == "failed" for row in found] == [False, True, False]
    assert found[1].error == "the text is blank"


def test_a_row_that_cannot_be_scored_fails_alone(trained, monkeypatch):
    model, _ = trained
    real = model._scorer.log_scores
    poison = model.prompts.classifier("poison", model.card.target)

    def scoring(prompts):
        if any(list(prompt[: len(poison)]) == poison for prompt in prompts):
            raise RuntimeError("out of memory\nsecond line")
        return real(prompts)

    monkeypatch.setattr(model._scorer, "log_scores", scoring)
    texts = [("1", "It was bright"), ("2", "poison"), ("3", "It was grey"), ("4", "It was black")]
    found = list(model.predict(texts))
    assert [(row.id, row.status == "failed") for row in found] == [
        ("1", False),
        ("2", True),
        ("3", False),
        ("4", False),
    ]
    assert found[1].error == "out of memory"
    assert found[1].label == ""


def test_a_long_text_is_trimmed_and_said_so(trained):
    model, _ = trained
    (found,) = model.predict([("1", "word " * 5000)])
    assert found.status in ("truncated", "reasoning_cut", "label_forced")
    assert found.label in LABELS.names


def test_the_folder_says_what_prediction_needs(trained):
    model, folder = trained
    card = json.loads((folder / "whylabel.json").read_text())
    assert card["labels"] == list(LABELS.names)
    assert card["target"] == model.card.target
    assert card["modes"] == [model.mode]
    assert card["lineage"] == {"seed": 1}
    assert card["max_text_tokens"] == RECIPE.training.max_length


def test_the_reasoning_budget_comes_from_training(tokenizer):
    prompts = Prompts(tokenizer)
    reasonings = ["word " * length for length in (10, 20, 30)]
    longest = prompts.count(reasonings[-1])
    assert longest < reasoning_budget(prompts, reasonings) <= 1.25 * longest + 1
    assert reasoning_budget(prompts, [None]) == 0


@pytest.mark.parametrize("trained", ["label"], indirect=True)
def test_a_model_that_does_not_come_back_is_refused(trained, tmp_path, monkeypatch):
    model, _ = trained
    from whylabel import classifier

    real = classifier.save

    def corrupting(loaded, folder, card):
        real(loaded, folder, card)
        other = load(str(folder), device="cpu")
        other.model.get_input_embeddings().weight.data.mul_(-3)
        real(other, folder, card)

    monkeypatch.setattr(classifier, "save", corrupting)
    with pytest.raises(ModelError, match="predicts otherwise"):
        save_checked(model.loaded, model.card, list(rows(False)), tmp_path / "model")


def test_what_was_trained_in_bf16_is_saved_as_what_predicts(tiny_model_folder, tmp_path):
    loaded = load(str(tiny_model_folder), device="cpu")
    recipe = override_recipe(RECIPE, training__dtype="bfloat16", training__max_steps=2)
    examples = list(rows(True))
    card, _ = train_classifier(
        loaded, examples, LABELS, recipe, title="t", checkpoints=tmp_path / "checkpoints", lineage={}
    )
    save_checked(loaded, card, examples, tmp_path / "model")
    again = load(str(tmp_path / "model"), device="cpu").model
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(loaded.model(ids).logits, again(ids).logits)


def test_a_text_too_long_to_train_on_is_an_error_or_trimmed(tiny_model_folder, tmp_path):
    loaded = load(str(tiny_model_folder), device="cpu")
    long = [Example("long-one", "grey " * 2000, "sad"), *rows(False)]
    with pytest.raises(AuditError, match="long-one"):
        train_classifier(loaded, long, LABELS, RECIPE, title="t", checkpoints=tmp_path, lineage={})
    trimming = override_recipe(RECIPE, data__max_text_tokens=30, training__max_steps=1)
    _, figures = train_classifier(loaded, long, LABELS, trimming, title="t", checkpoints=tmp_path, lineage={})
    assert figures["texts_trimmed"] == 1


def test_a_folder_that_is_no_classifier_is_named(tmp_path, tiny_model_folder):
    with pytest.raises(ModelError, match="There is no model folder"):
        TrainedClassifier.from_folder(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no whylabel model"):
        TrainedClassifier.from_folder(tiny_model_folder)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "whylabel.json").write_text('{"role": "reasoner"}')
    with pytest.raises(ModelError, match="no classifier"):
        TrainedClassifier.from_folder(tmp_path)
    assert model_folder(tmp_path) == tmp_path
