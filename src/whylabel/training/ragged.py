"""Examples without padding: linear layers see all tokens of a batch in one row, attention each one.

Attention, a small part of the work, is computed for all examples of equal length at once, so that no mask is needed.
Whether a model honours it is tried out first.
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
"""(examples, length of each) in the order in which they stand in the row."""


def ragged(rows: Sequence[Rendered], weights: Sequence[Any], device: torch.device) -> Inputs:
    """Return the examples one behind the other in a single row, with the groups that attention keeps apart."""
    inputs = packed(rows, weights, device)
    inputs.model["example_groups"] = tuple(
        (len(list(group)), length) for length, group in groupby(rows, key=len)
    )
    return inputs


@contextmanager
def attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Let a model attend by another implementation of transformers."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def ragged_attention(model: PreTrainedModel) -> AbstractContextManager[None]:
    """Let a model attend within the groups that `ragged` gives it."""
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    return attention(model, _NAME)


def ragged_pays(device: torch.device) -> bool:
    """Return whether padding costs more than it spares: a GPU computes it faster than it starts more kernels."""
    return device.type != "cuda"


def honours_ragged(model: PreTrainedModel, rows: Sequence[Rendered], pad_id: int) -> bool:
    """Return whether the model gives rows the losses that padding gives them.

    A sliding window shorter than a row, a soft cap or attention of its own make it say no.
    """
    import torch

    by_length = sorted(rows, key=len)
    some = [by_length[-1], by_length[len(by_length) // 2], by_length[0], by_length[0]]
    weights = coefficients(some, LossConfig())
    head, device = model.get_output_embeddings(), model.device
    with torch.no_grad():
        expected = token_losses(model, head, padded(some, weights, pad_id, device))
        try:
            with ragged_attention(model):
                found = token_losses(model, head, ragged(some, weights, device))
        except Exception:  # whatever a model says to an argument that it does not know
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
    # `split`, unlike a slice for each group, has a backward pass that copies everything once.
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
