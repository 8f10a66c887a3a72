from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import MistralConfig, MistralForCausalLM

from whylabel.errors import ModelError
from whylabel.models.load import load, prepare_for_training
from whylabel.prediction import scoring
from whylabel.prediction.multi_label import sigmoid
from whylabel.prediction.scoring import DecisionScorer, LabelScorer, probabilities, score_one_by_one
from whylabel.prediction.trees import LabelTrie, packed, rows_of
from whylabel.text.prompts import Prompts

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


def test_the_plain_way_is_the_sum_over_the_tokens_of_a_label(loaded):
    prompt, label = [10, 11, 12], [5, 6, 2]
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([[*prompt, *label]])).logits[0].double()
    chances = torch.softmax(logits, dim=-1)
    # What is said at a place is the token after it.
    by_hand = sum(float(torch.log(chances[at, token])) for at, token in zip((2, 3, 4), label, strict=True))
    found = score_one_by_one(loaded, [[13], prompt], [[7], label])
    assert found.shape == (2, 2)
    assert found[1, 1] == pytest.approx(by_hand, abs=1e-4)
    assert found[1, 0] == pytest.approx(float(torch.log(chances[2, 7])), abs=1e-4)


END = 2
labels_of_few_tokens = st.lists(
    st.lists(st.integers(5, 7), max_size=4).map(lambda ids: (*ids, END)), min_size=1, max_size=6
)


@settings(max_examples=20)
@given(
    labels_of_few_tokens,
    st.lists(st.lists(st.integers(3, 60), min_size=1, max_size=6), min_size=1, max_size=3),
)
def test_labels_that_share_first_tokens_or_start_one_another_are_scored_as_if_alone(loaded, labels, prompts):
    found = LabelScorer(loaded, labels).log_scores(prompts)
    # By the tree: where it were wrong, all labels would silently be scored the slow way.
    assert loaded.honours_tree_masks is True
    np.testing.assert_allclose(found, score_one_by_one(loaded, prompts, labels), atol=1e-4)


@given(labels_of_few_tokens)
def test_a_node_sees_the_tokens_before_it_in_its_own_labels_and_no_others(labels):
    trie = LabelTrie.of(labels)
    paths = [()]
    for token, parent in zip(trie.tokens, trie.parents, strict=True):
        paths.append((*paths[parent], token))
    # Each proper beginning of a label has one node.
    assert sorted(paths) == sorted({label[:end] for label in labels for end in range(len(label))})
    assert trie.depths == tuple(map(len, paths[1:]))
    for label, edges in zip(labels, trie.edges, strict=True):
        assert [(*paths[node], token) for node, token in edges] == [
            label[: end + 1] for end in range(len(label))
        ]
    assert trie.visible[:, 0].all()
    seen = [[paths[1:][column] for column in np.flatnonzero(row)] for row in trie.visible[1:, 1:]]
    assert [sorted(row, key=len) for row in seen] == [
        [path[:end] for end in range(1, len(path) + 1)] for path in paths[1:]
    ]


def test_prompts_that_begin_alike_are_computed_once_and_score_as_alone(loaded, prompts, monkeypatch):
    continuations = [prompts.label_ids(label) for label in LABELS]
    texts = TEXTS[:2] * 2
    endings = ["a bright day", "a bright night, it says", "", "rain"]
    begins = [prompts.classifier(text, "label") for text in texts]
    inputs = [*begins, *([*ids, *prompts.label_ids(end)] for ids, end in zip(begins, endings, strict=True))]
    rows = []
    whole = scoring.score_rows

    def noted(model, batch, trie):
        rows.extend(batch)
        return whole(model, batch, trie)

    monkeypatch.setattr(scoring, "score_rows", noted)
    found = LabelScorer(loaded, continuations).log_scores(inputs)
    np.testing.assert_allclose(found, score_one_by_one(loaded, inputs, continuations), atol=1e-4)
    assert sorted(place for row in rows for place in row.prompts) == list(range(8))
    assert len(rows) < 8
    assert sum(len(row.tokens) for row in rows) < sum(map(len, inputs)) / 1.5


@given(
    st.lists(st.lists(st.integers(1, 2), min_size=1, max_size=30), max_size=8),
    st.integers(1, 60),
    st.integers(1, 4),
)
def test_every_prompt_stands_in_one_row_whole_and_in_order(inputs, most_tokens, most_prompts):
    rows = rows_of(inputs, 3, most_tokens, most_prompts)
    assert sorted(place for row in rows for place in row.prompts) == list(range(len(inputs)))
    for row in rows:
        width = len(row.tokens) + len(row.prompts) * 3
        assert len(row.prompts) <= most_prompts and (width <= most_tokens or len(row.prompts) == 1)
        for place, path, end in zip(row.prompts, row.paths, row.ends, strict=True):
            assert [*(row.tokens[column] for column in path), end] == inputs[place]
            assert [row.depths[column] for column in path] == list(range(len(path)))


@given(
    st.lists(st.lists(st.integers(1, 2), min_size=1, max_size=30), min_size=1, max_size=9),
    st.integers(1, 60),
    st.integers(30, 60),
)
def test_packed_rows_hold_the_same_prompts_with_less_padding(inputs, room, most_tokens):
    rows = rows_of(inputs, 3, 40, 4)
    found = packed(rows, 3, room, most_tokens)
    held = [place for row in found for place in row.prompts]
    assert sorted(held) == list(range(len(inputs)))
    for row in found:
        for place, path, end in zip(row.prompts, row.paths, row.ends, strict=True):
            assert [*(row.tokens[column] for column in path), end] == inputs[place]
            assert [row.depths[column] for column in path] == list(range(len(path)))

    def size(rows):
        together = max(len(row.prompts) for row in rows)
        width = max(len(row.tokens) for row in rows) + 3 * together
        return width, len(rows) * width, len(rows) * together

    (_, before, tries_before), (width, after, tries) = size(rows), size(found)
    if found is not rows:
        assert after <= 0.9 * before and width <= most_tokens and tries <= tries_before


def test_prompts_of_unlike_length_are_packed_and_score_as_alone(loaded, prompts):
    continuations = [prompts.label_ids(label) for label in LABELS]
    inputs = [prompts.classifier(text, "label") for text in [TEXTS[0] * 3, *(f"{n} days" for n in range(9))]]
    scorer = LabelScorer(loaded, continuations)
    (batch,) = scorer._batches(inputs)
    assert len(batch) < 4
    np.testing.assert_allclose(
        scorer.log_scores(inputs), score_one_by_one(loaded, inputs, continuations), atol=1e-4
    )


def test_no_batch_is_wider_than_the_trees_that_the_model_computes_right(loaded):
    own = replace(loaded, tried=replace(loaded.capabilities(40), tree_masks=40))
    alike = [[9] * 9 + [number] for number in range(6)]  # one row of few tokens and many tries
    inputs = [*alike, list(range(10, 40)), list(range(50, 100))]
    batches = list(LabelScorer(own, [(5, 6, END), (5, END)])._batches(inputs))
    widths = [
        max(len(row.tokens) for row in batch) + 3 * max(len(row.prompts) for row in batch)
        for batch in batches
    ]
    assert [width for width in widths if width > 40] == [49 + 3], "only what is too wide alone"
    assert sorted(place for batch in batches for row in batch for place in row.prompts) == list(range(8))


def test_a_batch_does_not_change_a_score(loaded, prompts):
    continuations = [prompts.label_ids(label) for label in LABELS]
    inputs = [prompts.classifier(text, "label") for text in TEXTS * 4]
    scorer = LabelScorer(loaded, continuations)
    together = probabilities(scorer.log_scores(inputs))
    single = np.concatenate([probabilities(scorer.log_scores([row])) for row in inputs])
    np.testing.assert_allclose(together, single, atol=1e-5)


def test_a_model_that_ignores_the_tree_mask_is_scored_the_plain_way(loaded, prompts, monkeypatch, capsys):
    continuations = [prompts.label_ids(label) for label in LABELS]
    inputs = [prompts.classifier("I won!", "label")]
    expected = score_one_by_one(loaded, inputs, continuations)
    own = replace(loaded, tried=replace(loaded.capabilities(40), tree_masks=0), _said=set())
    monkeypatch.setattr(scoring, "score_rows", None)
    for _ in range(2):
        np.testing.assert_allclose(LabelScorer(own, continuations).log_scores(inputs), expected)
    assert own.honours_tree_masks is False
    assert capsys.readouterr().err.count("no tree-shaped mask") == 1


def test_a_prompt_that_does_not_fit_into_the_positions_is_refused_before_the_model_is_asked(loaded, prompts):
    continuations = [prompts.label_ids(label) for label in LABELS]
    prompt = prompts.classifier("I won!", "label")
    fits = len(prompt) + max(map(len, continuations))
    own = replace(loaded, tried=replace(loaded.capabilities(40), positions=fits))
    LabelScorer(own, continuations).log_scores([prompt])
    with pytest.raises(ModelError, match=f"do not fit into the model's {fits} positions"):
        LabelScorer(own, continuations).log_scores([[*prompt, 5]])


def test_texts_longer_than_a_sliding_window_are_scored_the_plain_way(tokenizer, tmp_path):
    settings = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MistralConfig(
        vocab_size=len(tokenizer), sliding_window=24, num_key_value_heads=1, initializer_range=0.3, **settings
    )
    MistralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load(str(tmp_path), device="cpu")
    continuations = [[5, 6, 2], [5, 7, 8, 2], [9, 2]]
    inputs = [list(range(10, 10 + length)) for length in (8, 20, 21, 60)]
    found = LabelScorer(loaded, continuations).log_scores(inputs)
    np.testing.assert_allclose(found, score_one_by_one(loaded, inputs, continuations), atol=1e-3)
    assert loaded.honours_tree_masks
    # The short ones by the tree, whose mask is right as long as the window holds all.
    assert LabelScorer(loaded, continuations)._tree_is_right(19)  # with the 5 nodes of the labels
    assert not LabelScorer(loaded, continuations)._tree_is_right(20)


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
    monkeypatch.setattr("whylabel.prediction.scoring._LOGITS_PER_BATCH", most * vocabulary)
    whole = scoring.score_rows

    def counted(model, rows, trie):
        passes.append(len(rows) * max(len(row.prompts) for row in rows) * trie.size)
        return whole(model, rows, trie)

    monkeypatch.setattr(scoring, "score_rows", counted)
    np.testing.assert_allclose(LabelScorer(loaded, continuations).log_scores(inputs), expected, atol=1e-5)
    assert len(passes) > len(inputs)
    assert max(passes) <= most


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(1, 200), st.integers(1, 200))
def test_batches_are_as_full_as_memory_allows_the_longest_prompts_first(
    loaded, lengths, most_tokens, most_logits
):
    scorer = LabelScorer(loaded, [(5, 6, END), (5, END)])
    nodes = 3  # The prompt's end, 5, and 6 behind it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "_CPU_TOKENS_PER_BATCH", most_tokens)
        patch.setattr(scoring, "_LOGITS_PER_BATCH", most_logits * int(loaded.model.config.vocab_size))
        # No two begin alike, and none are packed.
        patch.setattr(scoring, "packed", lambda rows, *_: rows)
        batches = [
            [row.prompts[0] for row in batch]
            for batch in scorer._batches(
                [[place] + [7] * (length - 1) for place, length in enumerate(lengths)]
            )
        ]
    placed = [place for batch in batches for place in batch]
    assert sorted(placed) == list(range(len(lengths)))
    assert [lengths[place] for place in placed] == sorted(lengths, reverse=True)

    def fits(rows):
        return len(rows) * (lengths[rows[0]] - 1 + nodes) <= most_tokens and len(rows) * nodes <= most_logits

    assert all(fits(batch) or len(batch) == 1 for batch in batches)
    assert not any(fits([*one, other[0]]) for one, other in pairwise(batches))


@given(labels_of_few_tokens, st.integers(1, 12))
def test_labels_are_parted_into_as_few_tries_as_memory_allows_like_beside_like(labels, most):
    groups = list(scoring._groups(labels, most))

    def fits(places):
        return len({labels[place][:end] for place in places for end in range(len(labels[place]))}) <= most

    placed = [place for group in groups for place in group]
    assert sorted(placed) == list(range(len(labels)))
    assert [labels[place] for place in placed] == sorted(labels)
    assert all(fits(group) or len(group) == 1 for group in groups)
    assert not any(fits([*one, other[0]]) for one, other in pairwise(groups))


def test_probabilities_are_a_distribution_even_for_tiny_scores():
    found = probabilities(np.array([[-1000.0, -1001.0], [-0.1, -50.0]]))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found[0], [1 / (1 + np.exp(-1)), np.exp(-1) / (1 + np.exp(-1))])


def test_a_label_without_tokens_is_our_bug(loaded):
    with pytest.raises(ValueError, match="at least one token"):
        LabelScorer(loaded, [[]])


def decisions(loaded, prompts, labels):
    return DecisionScorer(
        loaded,
        [prompts.decision_question(label) for label in labels],
        prompts.decision_answer(True),
        prompts.decision_answer(False),
    )


def decided_one_by_one(loaded, prompts, labels, texts):
    """Log-odds of each label by itself: yes and no behind its whole prompt, nothing shared."""
    answers = [prompts.decision_answer(True), prompts.decision_answer(False)]
    found = []
    for text in texts:
        whole = [[*prompts.decision_prefix(text), *prompts.decision_question(label)] for label in labels]
        scores = score_one_by_one(loaded, whole, answers)
        found.append(scores[:, 0] - scores[:, 1])
    return np.array(found)


@pytest.mark.parametrize("style", ["compact", "chat"])
def test_every_label_is_decided_as_if_it_stood_alone(loaded, style):
    prompts = Prompts(loaded.tokenizer, style, question="Which feelings?", name="Feeling")
    inputs = [prompts.decision_prefix(text) for text in TEXTS]
    found = decisions(loaded, prompts, LABELS).log_scores(inputs)
    assert found.shape == (len(TEXTS), len(LABELS))
    np.testing.assert_allclose(found, decided_one_by_one(loaded, prompts, LABELS, TEXTS), atol=1e-4)
    alone = decisions(loaded, prompts, LABELS[:1]).log_scores(inputs)
    np.testing.assert_allclose(found[:, :1], alone, atol=1e-5)


def test_a_batch_does_not_change_a_decision(loaded, prompts):
    scorer = decisions(loaded, prompts, LABELS)
    inputs = [prompts.decision_prefix(text) for text in TEXTS * 4]
    single = np.concatenate([sigmoid(scorer.log_scores([row])) for row in inputs])
    np.testing.assert_allclose(sigmoid(scorer.log_scores(inputs)), single, atol=1e-5)


def test_labels_are_decided_on_in_parts_that_fit_a_pass(loaded, prompts, monkeypatch):
    inputs = [prompts.decision_prefix(text) for text in TEXTS]
    whole = decisions(loaded, prompts, LABELS)
    assert len(whole._scorer._tries) == 1
    vocabulary = int(loaded.model.config.vocab_size)
    monkeypatch.setattr(scoring, "_LOGITS_PER_BATCH", 12 * vocabulary)
    parts = decisions(loaded, prompts, LABELS)
    assert len(parts._scorer._tries) > 2
    np.testing.assert_allclose(
        sigmoid(parts.log_scores(inputs)), sigmoid(whole.log_scores(inputs)), atol=1e-5
    )


def test_a_pass_over_a_thousand_labels_stays_within_bounds(loaded, prompts, monkeypatch):
    labels = [f"item {number} of {'shop' if number % 3 else 'garden'}" for number in range(1000)]
    monkeypatch.setattr(scoring, "_LOGITS_PER_BATCH", 1300 * int(loaded.model.config.vocab_size))
    scorer = decisions(loaded, prompts, labels)
    widths = []
    real = scoring.score_rows

    def watched(model, batch, trie):
        widths.append(len(trie.tokens))
        return real(model, batch, trie)

    monkeypatch.setattr(scoring, "score_rows", watched)
    found = scorer.log_scores([prompts.decision_prefix("I won!")])
    assert found.shape == (1, 1000)
    assert len(widths) > 2 and max(widths) < 1300
    some = [0, 1, 499, 500, 998, 999]
    expected = decided_one_by_one(loaded, prompts, [labels[at] for at in some], ["I won!"])
    np.testing.assert_allclose(found[:, some], expected, atol=1e-4)
