"""What an exported model is asked in the runtime that it was made for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from numpy import float64
from numpy.typing import NDArray

from whylabel.engines.base import Sampling

Ids = Sequence[int]


class Runtime(Protocol):
    """An export in its runtime. Prompts are token ids, so nothing but the model is compared."""

    def log_scores(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> NDArray[float64]:
        """Return log p(continuation | prompt), shape (prompts, continuations), natural log."""

    def write(self, prompts: Sequence[Ids], sampling: Sampling) -> list[list[int]]:
        """Return the tokens that are written after each prompt, greedily, up to the first stop token."""

    def tokenized(self, text: str) -> list[int] | None:
        """Return the tokens of a text, without BOS; None if the runtime has no tokenizer of its own."""

    def close(self) -> None:
        """Free the model."""


def until_stop(ids: Ids, sampling: Sampling) -> list[int]:
    """Return the ids before the first stop token."""
    end = next((place for place, token in enumerate(ids) if token in sampling.stop_ids), len(ids))
    return list(ids[:end])
