import numpy as np
import pytest

from whylabel import scoring
from whylabel.models import load, prepare_for_training
from whylabel.prompts import Prompts
from whylabel.scoring import LabelScorer, probabilities, score_one_by_one

LABELS = ["joy", "joyful", "joyful person", "very sad indeed", "sad", "sadness", "a"]
TEXTS = ["I won!", "It rained on the day of the fair and nobody came, not even Ada.", "ok", "why <|label|>"]


@pytest.fixture(scope="module")
def loaded(tiny_model_folder):
    loaded = load(str(tiny_model_folder), device="cpu")
    prepare_for_training(loaded)
    return loaded


@pytest.fixture(scope="module")
def prompts(loaded):
    return Prompts(loaded.tokenizer)


def test_the_tree_equals_one_plain_pass_per_label(loaded, prompts):
    continuations = [prompts.label_ids(label) for label in LABELS]
    inputs = [prompts.classifier(text, "label") for text in TEXTS]
    found = LabelScorer(loaded, continuations).log_scores(inputs)
    assert loaded.honours_tree_masks is True
    expected = score_one_by_one(loaded, inputs, continuations)
    assert found.shape == (len(TEXTS), len(LABELS))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_label_that_starts_another_one_is_scored_with_its_end(loaded, prompts):
    joy, joyful = prompts.label_ids("joy"), prompts.label_ids("joy ful")
    prompt = prompts.classifier("I won!", "label")
    both = LabelScorer(loaded, [joy, joyful]).log_scores([prompt])
    alone = LabelScorer(loaded, [joy]).log_scores([prompt])
    np.testing.assert_allclose(both[0, 0], alone[0, 0], atol=1e-5)
    assert joy[-1] == joyful[-1] == prompts.eos_id


def test_a_batch_does_not_change_a_score(loaded, prompts):
    continuations = [prompts.label_ids(label) for label in LABELS]
    inputs = [prompts.classifier(text, "label") for text in TEXTS * 4]
    scorer = LabelScorer(loaded, continuations)
    together = probabilities(scorer.log_scores(inputs))
    single = np.concatenate([probabilities(scorer.log_scores([row])) for row in inputs])
    np.testing.assert_allclose(together, single, atol=1e-5)


def test_a_model_that_ignores_the_tree_mask_is_scored_the_plain_way(loaded, prompts, monkeypatch):
    continuations = [prompts.label_ids(label) for label in LABELS]
    inputs = [prompts.classifier("I won!", "label")]
    expected = score_one_by_one(loaded, inputs, continuations)
    monkeypatch.setattr(loaded, "honours_tree_masks", None)
    monkeypatch.setattr("whylabel.scoring._score_tree", lambda *_: np.zeros((1, 4)))
    np.testing.assert_allclose(LabelScorer(loaded, continuations).log_scores(inputs), expected)
    assert loaded.honours_tree_masks is False


def test_seventy_seven_labels_of_several_words(loaded, prompts):
    labels = [f"card {number} not {'working' if number % 2 else 'arrived'}" for number in range(77)]
    continuations = [prompts.label_ids(label) for label in labels]
    inputs = [prompts.classifier(text, "label") for text in TEXTS]
    found = LabelScorer(loaded, continuations).log_scores(inputs)
    np.testing.assert_allclose(found, score_one_by_one(loaded, inputs, continuations), atol=1e-4)


@pytest.mark.parametrize("count", [2, 1000])
def test_two_and_a_thousand_labels_equal_the_plain_way(loaded, prompts, count):
    labels = [
        "no",
        "no way",
        *(f"item {number} of {'shop' if number % 3 else 'garden'}" for number in range(count)),
    ]
    continuations = [prompts.label_ids(label) for label in labels[:count]]
    inputs = [prompts.classifier(text, "label") for text in TEXTS[:2]]
    scorer = LabelScorer(loaded, continuations)
    found = scorer.log_scores(inputs)
    expected = score_one_by_one(loaded, inputs, continuations)
    np.testing.assert_allclose(probabilities(found), probabilities(expected), atol=1e-5)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    alone = np.concatenate([scorer.log_scores([row]) for row in inputs])
    np.testing.assert_allclose(probabilities(found), probabilities(alone), atol=1e-5)


def test_very_many_labels_are_scored_in_parts_of_bounded_memory(loaded, prompts, monkeypatch):
    continuations = [prompts.label_ids(label) for label in LABELS]
    inputs = [prompts.classifier(text, "label") for text in TEXTS]
    expected = LabelScorer(loaded, continuations).log_scores(inputs)
    most, passes = 20, []
    vocabulary = int(loaded.model.config.vocab_size)
    monkeypatch.setattr("whylabel.scoring._LOGITS_PER_BATCH", most * vocabulary)
    whole = scoring._score_tree

    def counted(model, rows, trie):
        passes.append(len(rows) * (len(trie.tokens) + 1))
        return whole(model, rows, trie)

    monkeypatch.setattr("whylabel.scoring._score_tree", counted)
    np.testing.assert_allclose(LabelScorer(loaded, continuations).log_scores(inputs), expected, atol=1e-5)
    assert len(passes) > len(inputs)
    assert max(passes) <= most


def test_the_check_of_the_mask_costs_the_same_for_many_labels(loaded, prompts, monkeypatch):
    from whylabel import scoring

    plain = []
    real = scoring.score_one_by_one

    def counting(model, inputs, continuations):
        plain.append(len(inputs) * len(continuations))
        return real(model, inputs, continuations)

    monkeypatch.setattr(scoring, "score_one_by_one", counting)
    for count in (7, 77):
        monkeypatch.setattr(loaded, "honours_tree_masks", None)
        labels = [prompts.label_ids(f"label of number {number}") for number in range(count)]
        LabelScorer(loaded, labels).log_scores([prompts.classifier("ok", "label")])
    assert plain == [4, 4]


def test_probabilities_are_a_distribution_even_for_tiny_scores():
    found = probabilities(np.array([[-1000.0, -1001.0], [-0.1, -50.0]]))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found[0], [1 / (1 + np.exp(-1)), np.exp(-1) / (1 + np.exp(-1))])


def test_a_label_without_tokens_is_our_bug(loaded):
    with pytest.raises(ValueError, match="at least one token"):
        LabelScorer(loaded, [[]])
