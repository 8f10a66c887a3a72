"""A mode as the steps of one text: what it wants scored or written next.

`modes` answers many texts together; a server answers texts that come one by one, and shares each pass of the model
among all that wait. So here a text's way through a mode is a generator: it yields what it wants computed (`Score`,
`Write`), is sent the result, and returns its `Answer`. What follows from the results is decided in `modes`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from whylabel.engines.base import Completion, Sampling
from whylabel.prediction.answers import Answer
from whylabel.prediction.card import ModelCard
from whylabel.prediction.modes import Reader, averaged, highest_probability, with_cost
from whylabel.text.hashes import text_number
from whylabel.text.prompts import Prompts
from whylabel.types import Mode

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Score:
    """Prompts after which the labels are to be scored; the result is an `Answer` for each.

    `is_all` says that nothing but this is needed to answer at once, so it should not wait for longer work.
    """

    prompts: Sequence[Sequence[int]]
    is_all: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """Reasonings to be written after one prompt, one for each sampling; the result is their completions, in order."""

    prompt: Sequence[int]
    samplings: Sequence[Sampling]


Steps = Generator[Score | Write, Any, Result]


class ModeSteps:
    """The way of one text through each of a model's modes. Equal texts are answered alike, whenever they come."""

    def __init__(self, reader: Reader, card: ModelCard, prompts: Prompts) -> None:
        self._reader, self._answerer = reader, reader.answerer
        self._card, self._prompts = card, prompts

    def answer(self, text: str, mode: Mode) -> Steps[Answer]:
        """Return the answer to a text in a mode that the model has."""
        reader = self._reader
        if mode == "fast":
            return (yield from self._at_once(text, is_all=True))
        if mode == "vote":
            return (yield from self._vote(text))
        if mode == "reasoned":
            return (yield from self._reasoned(text, None))
        fast = yield from self._at_once(text, is_all=mode == "adaptive")
        if mode == "blend":
            return reader.blend(fast, (yield from self._reasoned(text, fast)))
        if not reader.is_close(fast):
            return reader.adaptive(fast, None)
        return reader.adaptive(fast, (yield from self._reasoned(text, fast)))

    def after(self, texts: Sequence[str], reasoning: str, mode: Mode) -> Steps[list[Answer]]:
        """Return the answer to each of some texts after a reasoning that is given, or without it in mode `fast`."""
        if mode == "fast":
            prompts = [self._answerer.prompt(text) for text in texts]
        else:
            prompts = [self._prompts.after_reasoning(text, reasoning) for text in texts]
        answers: list[Answer] = yield Score(prompts)
        return answers

    def _at_once(self, text: str, *, is_all: bool) -> Steps[Answer]:
        answers: list[Answer] = yield Score([self._answerer.prompt(text)], is_all)
        return answers[0]

    def _reasoned(self, text: str, fast: Answer | None) -> Steps[Answer]:
        """Return the answer after a reasoning; one that would be withheld gives way to another that may be shown."""
        reader = self._reader
        (first,), fast = yield from self._written(text, [self._sampling(0.0, 0)], fast)
        more = self._card.reasoning_attempts - 1
        if not more or not reader.is_worth_more(text, first):
            return first
        others, _ = yield from self._written(text, self._samplings(text, more), fast)
        found = [first, *others]
        may_be_shown = [answer for answer in found if reader.may_be_shown(text, answer)]
        return with_cost(max(may_be_shown, key=highest_probability, default=first), found)

    def _vote(self, text: str) -> Steps[Answer]:
        samplings = self._samplings(text, self._card.vote.reasonings)
        votes, _ = yield from self._written(text, samplings, None)
        return averaged(votes, [self._reader.may_be_shown(text, vote) for vote in votes])

    def _written(
        self, text: str, samplings: Sequence[Sampling], fast: Answer | None
    ) -> Steps[tuple[list[Answer], Answer | None]]:
        """Return the answers after new reasonings, and the answer at once if the model can give one."""
        prompt = self._prompts.classifier(text, "reasoning_label")
        completions: list[Completion] = yield Write(prompt, samplings)
        usable = [item for item in completions if item.finish != "error"]
        at_once = [self._answerer.prompt(text)] if fast is None and self._answerer.answers_at_once else []
        wanted = [*at_once, *(self._prompts.after_reasoning(text, item.text) for item in usable)]
        scored: list[Answer] = (yield Score(wanted)) if wanted else []
        if at_once:
            fast, *scored = scored
        after = iter(scored)
        answers = [
            Answer(None, error=item.error)
            if item.finish == "error"
            else self._answerer.reasoned_answer(item, next(after))
            for item in completions
        ]
        if fast is not None:
            answers = [replace(answer, at_once=fast.log_scores) for answer in answers]
        return (yield from self._measured(text, answers)), fast

    def _measured(self, text: str, answers: Sequence[Answer]) -> Steps[list[Answer]]:
        """Return the answers, those whose reasoning may be shown with the effect of what it quotes."""
        shortened = [self._reader.without_quotations(text, answer) for answer in answers]
        prompts = [self._answerer.prompt(short) for short in shortened if short is not None]
        scored = iter((yield Score(prompts)) if prompts else ())
        return [
            answer if short is None else self._reader.with_effect(answer, next(scored))
            for answer, short in zip(answers, shortened, strict=True)
        ]

    def _samplings(self, text: str, count: int) -> list[Sampling]:
        """Return how several reasonings about a text are drawn, by seeds that depend on the text alone."""
        vote = self._card.vote
        first = (vote.seed + text_number(text)) % 2**31
        return [self._sampling(vote.temperature, first + number) for number in range(count)]

    def _sampling(self, temperature: float, seed: int) -> Sampling:
        stops = tuple(sorted(self._prompts.stop_ids))
        return Sampling(self._card.max_reasoning_tokens, stops, temperature, seed=seed)
