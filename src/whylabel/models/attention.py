"""The attention that a model computes with: transformers' own by name, or ours for examples without padding.

Ours is a small part of the work: it is computed for all examples of equal length together, so no mask is needed.
Everything else is computed for all tokens of a batch as one row.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from transformers import PreTrainedModel

_NAME = "whylabel_ragged"
# What some models add to attention, and ours does not compute: a cap on the scores, sinks beside the keys.
_NOT_COMPUTED = ("softcap", "s_aux")

Groups = tuple[tuple[int, int], ...]
"""(number of examples, length of each) in their order in the row."""


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
    """Compute attention within the groups of examples (`example_groups` of the model's inputs) inside the block."""
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    return attention(model, _NAME)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    *,
    example_groups: Groups,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Return attention within each example: queries, keys and values are (1, heads, tokens, size).

    On a CPU it is computed in float32: in bf16, the backward pass of torch's attention takes four times as long.
    Raises `NotImplementedError` for what it does not compute.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    unknown = [name for name in _NOT_COMPUTED if others.get(name) is not None]
    if sliding_window is not None and max(length for _, length in example_groups) > sliding_window:
        unknown.append("sliding_window")
    if unknown:
        raise NotImplementedError(f"attention with {', '.join(unknown)}")
    kind = query.dtype
    if query.device.type == "cpu":
        query, key, value = query.float(), key.float(), value.float()
    sizes = [count * length for count, length in example_groups]
    # The backward pass of `split` copies everything once; slices would copy it once per group.
    split = (torch.functional.split(states[0], sizes, dim=1) for states in (query, key, value))
    parts = zip(example_groups, *split, strict=True)
    grouped = key.shape[1] < query.shape[1]
    found = []
    for (count, length), *states in parts:
        q, k, v = (part.unflatten(1, (count, length)).transpose(0, 1) for part in states)
        with torch.autocast(query.device.type, enabled=False):
            attended = scaled_dot_product_attention(
                q, k, v, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=grouped
            )
        found.append(attended.transpose(1, 2).reshape(count * length, query.shape[1], -1))
    return torch.cat(found)[None].to(kind), None
