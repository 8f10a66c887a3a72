from contextlib import nullcontext

import numpy as np
import pytest
import torch

from whylabel.models.attention import ragged_attention
from whylabel.recipe import LossConfig
from whylabel.text.prompts import Rendered
from whylabel.training.loss import coefficients, packed, padded, token_losses, weighted_loss
from whylabel.training.ragged import ragged

CPU = torch.device("cpu")


def row(prompt, completion, label=(0, 0), weight=1.0):
    return Rendered(tuple(range(prompt)), tuple(range(20, 20 + completion)), *label, weight)


def even(rows):
    return coefficients(rows, LossConfig(normalise="token"))


def one_by_one(model, rows):
    """Losses of every completion token, each row computed by itself: the reference."""
    found = []
    for example in rows:
        ids = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
        logits = model(input_ids=ids).logits[0, len(example.prompt_ids) - 1 : -1]
        targets = torch.tensor(example.completion_ids)
        found.append(torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
    return torch.cat(found)


@pytest.mark.parametrize("shape", ["padded", "packed", "ragged"])
def test_losses_are_those_of_rows_computed_by_themselves(loaded, examples, shape):
    weights = even(examples)
    if shape == "padded":
        inputs = padded(examples, weights, loaded.tokenizer.pad_token_id, CPU)
    else:
        inputs = {"packed": packed, "ragged": ragged}[shape](examples, weights, CPU)
    attention = ragged_attention(loaded.model) if shape == "ragged" else nullcontext()
    head = loaded.model.get_output_embeddings()
    with torch.no_grad():
        expected = one_by_one(loaded.model, examples)
        with attention:
            found = token_losses(loaded.model, head, inputs)
            total = weighted_loss(loaded.model, head, inputs)
    assert loaded.model.config._attn_implementation == "sdpa"
    assert torch.allclose(found, expected, atol=1e-4)
    assert torch.allclose(total, expected.mean(), atol=1e-5)
    assert not head._forward_pre_hooks


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 640,
}


def test_a_model_with_grouped_heads_is_packed_alike(examples):
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**SIZES)).eval()
    with torch.no_grad():
        inputs = packed(examples, even(examples), CPU)
        found = token_losses(model, model.get_output_embeddings(), inputs)
        assert torch.allclose(found, one_by_one(model, examples), atol=1e-4)


@pytest.mark.parametrize("settings", [{"sliding_window": 4}, {"softcap": 50.0}, {"s_aux": torch.zeros(4)}])
def test_what_our_attention_does_not_compute_is_refused(examples, monkeypatch, settings):
    """Small random weights hardly show a cap on the scores, for example: it is not left to a comparison."""
    from whylabel.models import attention

    states = torch.zeros(1, 4, 10, 8)
    with pytest.raises(NotImplementedError, match=next(iter(settings))):
        attention._attend(None, states, states, states, None, example_groups=((2, 5),), **settings)
    attention._attend(None, states, states, states, None, example_groups=((2, 5),), sliding_window=5)


def test_tokens_count_alike():
    rows = [row(3, 5, label=(4, 5)), row(2, 1, label=(0, 1))]
    found = coefficients(rows, LossConfig(normalise="token"))
    assert np.allclose(np.concatenate(found), np.full(6, 1 / 6))


def test_by_default_labels_count_as_much_as_reasonings():
    rows = [row(3, 5, label=(4, 5)), row(2, 1, label=(0, 1))]
    found = coefficients(rows, LossConfig())
    assert found[0][4] + found[1][0] == pytest.approx(0.5)


def test_segments_are_averaged_apart():
    rows = [row(3, 10, label=(8, 10)), row(2, 2, label=(0, 2))]
    config = LossConfig(normalise="segment", label_weight=3, reasoning_weight=1)
    first, second = coefficients(rows, config)
    assert np.allclose(first[:8], 0.25 / 8)
    assert np.allclose([*first[8:], *second], 0.75 / 4)
    assert sum(map(sum, (first, second))) == pytest.approx(1)


def test_a_segment_that_is_absent_leaves_its_weight_to_the_other():
    only_labels = [row(3, 2, label=(0, 2))]
    config = LossConfig(normalise="segment", reasoning_weight=5)
    assert np.allclose(coefficients(only_labels, config)[0], 0.5)
    only_reasoning = [row(3, 4)]
    assert np.allclose(coefficients(only_reasoning, LossConfig(reasoning_weight=0))[0], 0.25)


@pytest.mark.parametrize("normalise", ["token", "segment"])
def test_examples_count_as_they_weigh(normalise):
    rows = [row(3, 2, label=(0, 2), weight=3), row(3, 2, label=(0, 2), weight=1)]
    first, second = coefficients(rows, LossConfig(normalise=normalise))
    assert np.allclose(first, 3 * second)


def test_the_last_phase_trains_labels_alone():
    rows = [row(3, 5, label=(3, 5)), row(3, 4)]
    first, second = coefficients(rows, LossConfig(normalise="segment"), label_only=True)
    assert np.allclose(first, [0, 0, 0, 0.5, 0.5])
    assert not second.any()
