"""The engine protocol: prompts in, completions out as they finish. A failed row does not affect the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from whylabel.text.prompts import Prompt

Finish = Literal["stop", "length", "error"]
UNUSABLE_PROMPT = "the prompt is empty or has a token that the model does not know"
"""The error of a row that no engine can compute."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are sampled: all of it, so that every engine writes the same with the same weights.

    `temperature` 0 is greedy: the likeliest token, always. Above 0, tokens are drawn from the smallest set of
    likeliest tokens that has the probability `top_p`. Generation ends at any of `stop_ids`, and at `max_new_tokens`.
    Nothing else changes a token: no penalty, no beam, no forbidden or forced token, whatever the model's own
    `generation_config.json` or an engine's defaults say.
    """

    max_new_tokens: int
    stop_ids: tuple[int, ...]
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """The outcome of one prompt.

    `index` is the prompt's position in the call. `finish` is `stop` if the model ended by itself, `length` at the
    token limit or in a loop, `error` if the row failed (`error` is the reason). `seconds` is the row's share of the
    time of its batch, or the duration of its request.
    """

    index: int
    text: str
    prompt_tokens: int
    tokens: int
    finish: Finish
    seconds: float = 0.0
    error: str | None = None
    stop_id: int | None = None
    """The stop token that ended it, if the engine knows."""
    cost: float | None = None
    """Its cost, if the engine's options give prices."""


class Engine(Protocol):
    """Generates text for prompts that are already rendered, so every engine gets the same prompts."""

    name: str

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion per prompt, as they finish, in any order. A failed row is a completion too.

        Equal prompts are sampled independently if `sampling.temperature` is above 0.
        Closing the iterator early stops the work on the remaining rows.
        """

    def close(self) -> None:
        """Free the engine's process, connection or memory. It may be called twice."""
