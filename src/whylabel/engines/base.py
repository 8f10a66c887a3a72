"""The engine protocol: prompts in, completions out as they finish, and no row can take the others down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from whylabel.text.prompts import Prompt

Finish = Literal["stop", "length", "error"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn. `temperature` 0 is greedy; generation ends at any of `stop_ids`."""

    max_new_tokens: int
    stop_ids: tuple[int, ...]
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """What came of one prompt.

    `index` is the prompt's place in the call. `finish` is `stop` where the model ended by itself, `length` at the
    token limit, `error` where the row failed (`error` says why). `seconds` is the row's share of its batch, or how
    long its request took.
    """

    index: int
    text: str
    prompt_tokens: int
    tokens: int
    finish: Finish
    seconds: float = 0.0
    error: str | None = None
    stop_id: int | None = None
    """Which of the stop tokens ended it, where the engine knows."""
    cost: float | None = None
    """What it cost, where the engine's options give prices."""


class Engine(Protocol):
    """Generates text for prompts that are already rendered, so that no path can render them differently."""

    name: str

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion per prompt, as they finish, in any order; a failed row is a completion too.

        Prompts may be equal: where `sampling.temperature` is above 0, each is then drawn by itself.
        Closing the iterator early ends the work on the rows that are left.
        """

    def close(self) -> None:
        """Free what the engine holds: a process, a connection, memory. It may be called twice."""
