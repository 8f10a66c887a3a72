"""Examples without padding: linear layers process all tokens of a batch as one row, attention each example
separately.

Attention is a small part of the work. It is computed for all examples of equal length together, so no mask is needed.
A test shows first whether a model supports this.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

from whylabel.recipe import LossConfig
from whylabel.text.prompts import Rendered
from whylabel.training.loss import Inputs, coefficients, packed, padded, token_losses

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from transformers import PreTrainedModel

_NAME = "whylabel_ragged"
_TOLERANCE = 1e-3

Groups = tuple[tuple[int, int], ...]
"""(number of examples, length of each) in their order in the row."""


def ragged(rows: Sequence[Rendered], weights: Sequence[Any], device: torch.device) -> Inputs:
    """Return the examples concatenated in a single row, with the groups for attention."""
    inputs = packed(rows, weights, device)
    inputs.model["example_groups"] = tuple(
        (len(list(group)), length) for length, group in groupby(rows, key=len)
    )
    return inputs


@contextmanager
def attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Use another attention implementation of transformers inside the block."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def ragged_attention(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Compute attention within the groups of `ragged` inside the block."""
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    return attention(model, _NAME)


def ragged_pays(device: torch.device) -> bool:
    """Return whether this is faster than padding. On a GPU more kernels cost more than computing the padding."""
    return device.type != "cuda"


def honours_ragged(model: PreTrainedModel, rows: Sequence[Rendered], pad_id: int) -> bool:
    """Return whether the model computes the same losses without padding as with padding.

    It does not with a sliding window shorter than a row, a soft cap, or its own attention code.
    """
    import torch

    by_length = sorted(rows, key=len)
    sample = [by_length[-1], by_length[len(by_length) // 2], by_length[0], by_length[0]]
    weights = coefficients(sample, LossConfig())
    head, device = model.get_output_embeddings(), model.device
    with torch.no_grad():
        expected = token_losses(model, head, padded(sample, weights, pad_id, device))
        try:
            with ragged_attention(model):
                found = token_losses(model, head, ragged(sample, weights, device))
        except Exception:  # a model may raise anything for an unknown argument
            return False
    return bool(torch.allclose(found, expected, atol=_TOLERANCE, rtol=_TOLERANCE))


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    example_groups: Groups,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return attention within each example: queries, keys and values are (1, heads, tokens, size)."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    sizes = [count * length for count, length in example_groups]
    # The backward pass of `split` copies everything once; slices would copy it once per group.
    split = (torch.functional.split(states[0], sizes, dim=1) for states in (query, key, value))
    parts = zip(example_groups, *split, strict=True)
    grouped = key.shape[1] < query.shape[1]
    found = []
    for (count, length), *states in parts:
        q, k, v = (part.unflatten(1, (count, length)).transpose(0, 1) for part in states)
        attended = scaled_dot_product_attention(
            q, k, v, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=grouped
        )
        found.append(attended.transpose(1, 2).reshape(count * length, query.shape[1], -1))
    return torch.cat(found)[None], None
