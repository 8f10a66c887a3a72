"""Examples without padding: linear layers process all tokens of a batch as one row, attention each example
separately (`models.attention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from whylabel.text.prompts import Rendered
from whylabel.training.loss import Inputs, packed

if TYPE_CHECKING:
    import torch


def ragged(rows: Sequence[Rendered], weights: Sequence[Any], device: torch.device) -> Inputs:
    """Return the examples concatenated in a single row, with the groups for attention."""
    inputs = packed(rows, weights, device)
    inputs.model["example_groups"] = tuple(
        (len(list(group)), length) for length, group in groupby(rows, key=len)
    )
    return inputs


def ragged_pays(device: torch.device) -> bool:
    """Return whether this is faster than padding. On a GPU more kernels cost more than computing the padding."""
    return device.type != "cuda"
