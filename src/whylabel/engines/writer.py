"""Writing step by step: rows come and go at any time, and their tokens can be read after every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from whylabel.engines.base import Completion, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = Sequence[int]
_HALF_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(slots=True, eq=False)
class Row:
    """A prompt and its state. When it has ended, it has `generated` ids (with the stop token) or an `error`.

    `seconds` is its share of the time of its steps; `handle` belongs to what writes it.
    """

    index: int
    prompt: Ids
    sampling: Sampling
    generated: list[int] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0
    handle: Any = None

    def completion(self, tokenizer: PreTrainedTokenizerBase) -> Completion:
        """Return the completion of a row that has ended."""
        if self.error is not None:
            return Completion(
                self.index, "", len(self.prompt), 0, "error", seconds=self.seconds, error=self.error
            )
        stopped = self.generated[-1] in self.sampling.stop_ids
        ids = self.generated[:-1] if stopped else self.generated
        return Completion(
            self.index,
            str(tokenizer.decode(ids, skip_special_tokens=True)).strip(),
            len(self.prompt),
            len(self.generated),
            finish="stop" if stopped else "length",
            seconds=self.seconds,
            stop_id=self.generated[-1] if stopped else None,
        )

    def text(self, tokenizer: PreTrainedTokenizerBase) -> str:
        """Return what is written so far, without blanks around it and without a character that is not whole."""
        ids = self.generated
        if ids and ids[-1] in self.sampling.stop_ids:
            ids = ids[:-1]
        return str(tokenizer.decode(ids, skip_special_tokens=True)).rstrip(_HALF_CHARACTER).strip()


class Writer(Protocol):
    """Writes rows together, one step at a time. A row that fails has an error, and does not affect the others."""

    def submit(self, index: int, prompt: Ids, sampling: Sampling) -> Row:
        """Add a row, which is computed in the next steps in which it fits."""

    def step(self) -> list[Row]:
        """Compute one step and return the rows that have ended. Raises `EngineError` if nothing can go on."""

    def cancel(self, row: Row) -> None:
        """Drop a row; the others' outputs stay what they were. A row that has ended stays as it is."""

    @property
    def is_idle(self) -> bool:
        """Whether no row waits or runs."""
