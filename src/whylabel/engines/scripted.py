"""A fake engine that answers from a script, with delays, failures and cut-offs on demand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from whylabel.engines.base import Completion, Sampling
from whylabel.text.prompts import Prompt

_ANSWERS = ('The words "as written" point to this answer rather than to another one.',)


class ScriptedEngine:
    """Answers prompt i with `answers[i % len(answers)]`, or with `answers(i)` if it is a function.

    Every `fail_every`-th row fails, every `cut_every`-th row is cut at the token limit (0: none), and each row
    takes `delay_seconds`. `generated` counts the rows that this engine has received.
    """

    name = "scripted"

    def __init__(
        self,
        answers: Sequence[str] | Callable[[int], str] = _ANSWERS,
        *,
        delay_seconds: float = 0.0,
        fail_every: int = 0,
        cut_every: int = 0,
    ) -> None:
        self._answer = answers if callable(answers) else lambda index: answers[index % len(answers)]
        self._delay_seconds = delay_seconds
        self._fail_every = fail_every
        self._cut_every = cut_every
        self.generated = 0

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Yield the scripted answers in order."""
        for index, prompt in enumerate(prompts):
            if self._delay_seconds:
                time.sleep(self._delay_seconds)
            self.generated += 1
            if _is_nth(index, self._fail_every):
                yield Completion(index, "", len(prompt.ids), 0, "error", error="scripted failure")
                continue
            words = self._answer(index).split(" ")
            cut = _is_nth(index, self._cut_every) or len(words) > sampling.max_new_tokens
            words = words[: sampling.max_new_tokens]
            yield Completion(
                index,
                " ".join(words),
                len(prompt.ids),
                len(words),
                "length" if cut else "stop",
                self._delay_seconds,
            )

    def close(self) -> None:
        """Do nothing: this engine has nothing to free."""


def _is_nth(index: int, every: int) -> bool:
    return every > 0 and (index + 1) % every == 0
