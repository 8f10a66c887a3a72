"""Cross-entropy over the supervised tokens of a step, weighted by segment and example.

The coefficients of a step sum to 1, whatever the length of its rows and the number of its batches. So the learning
rate has the same meaning for every target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.recipe import LossConfig
from whylabel.text.prompts import Rendered

if TYPE_CHECKING:
    import torch


def coefficients(
    rows: Sequence[Rendered], config: LossConfig, *, label_only: bool = False
) -> list[NDArray[np.float64]]:
    """Return the coefficient of each completion token, per row of a step; all of a step sum to 1.

    With example weights w and segment weights s (label, reasoning), `token` gives w s / Σ w s to each token.
    `segment` gives s / Σ s to each segment and divides it among the segment's tokens as w / Σ w. With `label_only`,
    reasoning has weight 0 if the step has labels.
    """
    is_label = [_label_tokens(row) for row in rows]
    of_label = np.concatenate(is_label)
    example = np.concatenate([np.full(len(row.completion_ids), row.weight) for row in rows])
    reasoning_weight = config.reasoning_weight
    if not of_label.any():
        reasoning_weight = 1.0  # stage 1 trains on reasonings only
    elif label_only:
        reasoning_weight = 0.0
    segment = np.where(of_label, config.label_weight, reasoning_weight)
    if config.normalise == "segment":
        for tokens in (of_label, ~of_label):
            total = example[tokens].sum()
            if total > 0:
                segment[tokens] /= total
    found = example * segment
    found /= found.sum()
    return np.split(found, np.cumsum([len(tokens) for tokens in is_label])[:-1])


def _label_tokens(row: Rendered) -> NDArray[np.bool_]:
    places = np.arange(len(row.completion_ids))
    return np.asarray((places >= row.label_start) & (places < row.label_end))


@dataclass(frozen=True, slots=True)
class Inputs:
    """A batch as tensors: the inputs of the model, and the targets and weights of its outputs.

    `model` contains `input_ids` (rows, length), and also `position_ids` if examples share a row. `targets` and
    `weights` have one entry for each True in `supervised`, shape (rows, length), in order.
    """

    model: dict[str, Any]
    supervised: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def padded(
    rows: Sequence[Rendered], weights: Sequence[NDArray[np.float64]], pad_id: int, device: torch.device
) -> Inputs:
    """Return rows padded on the right. No mask is needed: no supervised token comes after the padding."""
    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    supervised = np.zeros((len(rows), width), dtype=bool)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = np.concatenate([row.prompt_ids, row.completion_ids])
        # The output before a token predicts it.
        supervised[place, len(row.prompt_ids) - 1 : len(row) - 1] = True
    return _inputs({"input_ids": ids}, supervised, rows, weights, device)


def packed(rows: Sequence[Rendered], weights: Sequence[NDArray[np.float64]], device: torch.device) -> Inputs:
    """Return the examples concatenated in a single row; positions restart at 0 for each example."""
    parts = [part for row in rows for part in (row.prompt_ids, row.completion_ids)]
    ids = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])[None]
    positions = np.concatenate([np.arange(len(row)) for row in rows])[None]
    supervised = np.zeros(ids.shape, dtype=bool)
    start = 0
    for row in rows:
        supervised[0, start + len(row.prompt_ids) - 1 : start + len(row) - 1] = True
        start += len(row)
    return _inputs({"input_ids": ids, "position_ids": positions}, supervised, rows, weights, device)


def _inputs(
    model: dict[str, NDArray[np.int64]],
    supervised: NDArray[np.bool_],
    rows: Sequence[Rendered],
    weights: Sequence[NDArray[np.float64]],
    device: torch.device,
) -> Inputs:
    import torch

    targets = np.concatenate([np.asarray(row.completion_ids, dtype=np.int64) for row in rows])
    return Inputs(
        {name: torch.from_numpy(values).to(device) for name, values in model.items()},
        torch.from_numpy(supervised).to(device),
        torch.from_numpy(targets).to(device),
        torch.from_numpy(np.concatenate(weights).astype(np.float32)).to(device),
    )


def weighted_loss(model: Any, head: torch.nn.Module, inputs: Inputs, label_smoothing: float = 0.0) -> Any:
    """Return the weighted sum of the negative log-likelihoods (nats) of the supervised tokens, a scalar tensor.

    The LM head, a fifth of a small model's arithmetic, is computed only at supervised positions. `head` is the
    output embedding inside `model`.
    """
    return (token_losses(model, head, inputs, label_smoothing) * inputs.weights).sum()


def token_losses(model: Any, head: torch.nn.Module, inputs: Inputs, label_smoothing: float = 0.0) -> Any:
    """Return the negative log-likelihood (nats) of every supervised token, in order."""
    from torch.nn.functional import cross_entropy

    def select(_head: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (arguments[0][inputs.supervised],)

    hook = head.register_forward_pre_hook(select)
    try:
        logits = model(**inputs.model, use_cache=False).logits
    finally:
        hook.remove()
    return cross_entropy(logits.float(), inputs.targets, reduction="none", label_smoothing=label_smoothing)
