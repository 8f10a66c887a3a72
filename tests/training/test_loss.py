import numpy as np
import pytest
import torch

from whylabel.models import load
from whylabel.prompts import Rendered
from whylabel.recipe import LossConfig
from whylabel.training.loss import coefficients, packed, padded, token_losses, weighted_loss

CPU = torch.device("cpu")


def row(prompt, completion, label=(0, 0), weight=1.0):
    return Rendered(tuple(range(prompt)), tuple(range(20, 20 + completion)), *label, weight)


def even(rows):
    return coefficients(rows, LossConfig())


def one_by_one(model, rows):
    """Losses of every completion token, each row computed by itself: the reference."""
    found = []
    for example in rows:
        ids = torch.tensor([[*example.prompt_ids, *example.completion_ids]])
        logits = model(input_ids=ids).logits[0, len(example.prompt_ids) - 1 : -1]
        targets = torch.tensor(example.completion_ids)
        found.append(torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
    return torch.cat(found)


@pytest.mark.parametrize("shape", ["padded", "packed"])
def test_losses_are_those_of_rows_computed_by_themselves(loaded, examples, shape):
    weights = even(examples)
    if shape == "padded":
        inputs = padded(examples, weights, loaded.tokenizer.pad_token_id, CPU)
    else:
        inputs = packed(examples, weights, CPU)
    head = loaded.model.get_output_embeddings()
    with torch.no_grad():
        found = token_losses(loaded.model, head, inputs)
        expected = one_by_one(loaded.model, examples)
        total = weighted_loss(loaded.model, head, inputs)
    assert torch.allclose(found, expected, atol=1e-4)
    assert torch.allclose(total, expected.mean(), atol=1e-5)
    assert not head._forward_pre_hooks


def test_a_model_with_grouped_heads_and_windows_is_packed_alike(tokenizer, examples, tmp_path):
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(tokenizer) + 2, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load(str(tmp_path), device="cpu")
    with torch.no_grad():
        inputs = packed(examples, even(examples), CPU)
        found = token_losses(loaded.model, loaded.model.get_output_embeddings(), inputs)
        assert torch.allclose(found, one_by_one(loaded.model, examples), atol=1e-4)


def test_tokens_count_alike_by_default():
    rows = [row(3, 5, label=(4, 5)), row(2, 1, label=(0, 1))]
    assert np.allclose(np.concatenate(coefficients(rows, LossConfig())), np.full(6, 1 / 6))


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
