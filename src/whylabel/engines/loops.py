"""When a model repeats itself without end: such a row is stopped at once, not at its token limit.

A row is in a loop if its last tokens are one run of at most `_LONGEST_RUN` tokens, three times in a row and twelve
tokens at least. The rule reads nothing but a row's own new tokens, so it cuts a row at the same place in every engine
of this process. vLLM has a rule of its own, which is set to the nearest to this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_LONGEST_RUN = 16
_TIMES = 3
_LEAST_TOKENS = 12

_LOOPS = [(run, max(_TIMES * run, _LEAST_TOKENS)) for run in range(1, _LONGEST_RUN + 1)]
"""Of each run, in tokens: how many of the last tokens have to repeat it."""

VLLM_LOOPS = {
    "min_pattern_size": _LEAST_TOKENS // _TIMES,
    "max_pattern_size": _LONGEST_RUN,
    "min_count": _TIMES,
}
"""The rule as vLLM's `repetition_detection`: a run of three tokens is stopped after 18 of them instead of 12."""


def is_in_loop(ids: Sequence[int]) -> bool:
    """Return whether the last of a row's new tokens are a loop."""
    length = len(ids)
    return any(
        length >= tokens and ids[-run:] == ids[-2 * run : -run] and ids[run - tokens :] == ids[-tokens:-run]
        for run, tokens in _LOOPS
    )


def loop_end(ids: Sequence[int]) -> int | None:
    """Return how many tokens there are when the first loop is complete; None if there is none."""
    ids = list(ids)
    return next((end for end in range(_LEAST_TOKENS, len(ids) + 1) if is_in_loop(ids[:end])), None)


def rows_in_loop(ids: torch.Tensor) -> torch.Tensor:
    """Return for each row of new tokens (rows, tokens) whether it is in a loop now, shape (rows,)."""
    import torch

    found = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    for run, tokens in _LOOPS:
        if ids.shape[1] >= tokens:
            found |= (ids[:, run - tokens :] == ids[:, -tokens:-run]).all(dim=1)
    return found
