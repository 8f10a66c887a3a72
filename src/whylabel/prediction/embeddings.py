"""Texts as vectors: what a base model that was not trained makes of their prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from whylabel.models.load import LoadedModel

_CPU_TOKENS_PER_BATCH, _GPU_TOKENS_PER_BATCH = 2048, 32_768


def embed(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], done: Callable[[int], None] = lambda _rows: None
) -> NDArray[np.float32]:
    """Return the mean of the last hidden states over the tokens of each prompt, shape (prompts, hidden size).

    `done` is called with the number of prompts that were computed.
    """
    import torch

    model = loaded.model
    core = model.base_model
    most = _GPU_TOKENS_PER_BATCH if loaded.device.type == "cuda" else _CPU_TOKENS_PER_BATCH
    found: dict[int, NDArray[np.float32]] = {}
    for places in _batches(prompts, most):
        width = len(prompts[places[0]])
        # Padding stands behind the text, which a causal model does not look at.
        ids = torch.zeros((len(places), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, place in enumerate(places):
            length = len(prompts[place])
            ids[row, :length] = torch.tensor(list(prompts[place]))
            mask[row, :length] = 1
        ids, mask = ids.to(loaded.device), mask.to(loaded.device)
        with torch.inference_mode():
            states = core(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state.float()
            means = (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        found.update(zip(places, means.cpu().numpy(), strict=True))
        done(len(places))
    return np.stack([found[place] for place in range(len(prompts))])


def _batches(prompts: Sequence[Sequence[int]], most_tokens: int) -> Iterator[list[int]]:
    """Yield places of prompts that are computed together, the longest first."""
    order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
    start = 0
    while start < len(order):
        rows = max(1, most_tokens // len(prompts[order[start]]))
        yield order[start : start + rows]
        start += rows
