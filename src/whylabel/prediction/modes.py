"""The modes of a trained model: each gives scores over the closed set, with its cost.

- `fast`: the label is scored directly after the prompt, in one pass;
- `reasoned`: a reasoning is written, then the label is scored after it;
- `vote`: several reasonings are sampled, and the probabilities after each are averaged;
- `blend`: the log-probabilities of fast and reasoned are interpolated;
- `adaptive`: fast, but reasoned if the two best labels of fast are close (and fast all the same if that fails).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from whylabel.engines.base import Engine
from whylabel.models.load import LoadedModel
from whylabel.prediction.answers import Answer, Answerer, AtOnce
from whylabel.prediction.card import ModelCard
from whylabel.prediction.scoring import probabilities
from whylabel.prediction.withheld import Withholding
from whylabel.text.prompts import Prompts
from whylabel.text.quotes import left_out
from whylabel.types import Mode

_SMALLEST_PROBABILITY = 1e-300


class Reader:
    """Scores texts in any of the model's modes. A failed text does not affect the others."""

    def __init__(
        self,
        loaded: LoadedModel,
        card: ModelCard,
        prompts: Prompts,
        engine: Engine,
        withholding: Withholding | None = None,
    ) -> None:
        self._card, self._prompts = card, prompts
        self._withholding = withholding or Withholding(card)
        self.answerer = Answerer(loaded, card, prompts, engine)

    def read(self, texts: Sequence[str], modes: Collection[Mode]) -> dict[Mode, list[Answer]]:
        """Return an answer for every mode and text; results that several modes need are computed once."""
        rows = list(self.read_each(texts, modes))
        return {mode: [row[mode] for row in rows] for mode in modes}

    def read_each(self, texts: Sequence[str], modes: Collection[Mode]) -> Iterator[dict[Mode, Answer]]:
        """Yield every text's answers in order, as soon as they are known; see `read`."""
        requested = set(modes)
        at_once = AtOnce(self.answerer.at_once, texts)
        every = range(len(texts))
        if requested & {"fast", "adaptive"}:
            at_once.find(every)
        reasoned: Collection[int] = ()
        if requested & {"reasoned", "blend"}:
            reasoned = every
        elif "adaptive" in requested:
            reasoned = [place for place in every if self.is_close(at_once[place])]
        streams = {"reasoned": self._reasoned(at_once, list(reasoned))}
        if "vote" in requested:
            # An engine does one thing at a time.
            streams = {mode: iter(list(answers)) for mode, answers in streams.items()}
            streams["vote"] = self._vote(at_once)
        reasoned = set(reasoned)
        for place in every:
            found: dict[Mode, Answer] = {}
            if place in reasoned:
                found["reasoned"] = next(streams["reasoned"])
            if "vote" in requested:
                found["vote"] = next(streams["vote"])
            if requested & {"fast", "blend", "adaptive"}:
                found["fast"] = at_once[place]
            if "blend" in requested:
                found["blend"] = self.blend(found["fast"], found["reasoned"])
            if "adaptive" in requested:
                found["adaptive"] = self.adaptive(found["fast"], found.get("reasoned"))
            yield {mode: found[mode] for mode in modes}

    def read_after(self, mode: Mode, texts: Sequence[str], reasonings: Sequence[str]) -> list[Answer]:
        """Return the answer to each text after a reasoning that is given, or without it in mode `fast`."""
        if mode == "fast":
            return self.answerer.at_once(texts)
        return self.answerer.score(
            [self._prompts.after_reasoning(*pair) for pair in zip(texts, reasonings, strict=True)]
        )

    def _reasoned(self, at_once: AtOnce, places: Sequence[int]) -> Iterator[Answer]:
        """Yield the answers after a reasoning about the texts at these places."""
        first = self._after_reasonings(at_once, places, temperature=0.0)
        more = self._card.reasoning_attempts - 1
        return self._with_more_attempts(at_once, places, list(first), more) if more else first

    def _with_more_attempts(
        self, at_once: AtOnce, places: Sequence[int], first: Sequence[Answer], more: int
    ) -> Iterator[Answer]:
        """Yield the answers; where a reasoning would be withheld, another one that may be shown takes its place."""
        first_of = dict(zip(places, first, strict=True))
        again = [
            place for place, answer in first_of.items() if self.is_worth_more(at_once.texts[place], answer)
        ]
        drawn = self._drawn(at_once, again, more)
        chosen = {}
        for place in again:
            found = [first_of[place], *islice(drawn, more)]
            may_be_shown = [other for other in found if self.may_be_shown(at_once.texts[place], other)]
            best = max(may_be_shown, key=highest_probability, default=first_of[place])
            chosen[place] = with_cost(best, found)
        return (chosen.get(place, answer) for place, answer in first_of.items())

    def _vote(self, at_once: AtOnce) -> Iterator[Answer]:
        count = self._card.vote.reasonings
        drawn = self._drawn(at_once, range(len(at_once.texts)), count)
        for text in at_once.texts:
            votes = list(islice(drawn, count))
            yield averaged(votes, [self.may_be_shown(text, vote) for vote in votes])

    def _drawn(self, at_once: AtOnce, places: Sequence[int], count: int) -> Iterator[Answer]:
        """Yield answers after `count` reasonings of each text, sampled at the temperature of `vote`."""
        vote = self._card.vote
        repeated = [place for place in places for _ in range(count)]
        return self._after_reasonings(at_once, repeated, vote.temperature, vote.seed)

    def without_quotations(self, text: str, answer: Answer) -> str | None:
        """Return the text to score for the effect of what a reasoning quotes; None if that need not be known."""
        if not self._withholding.measures_effects or answer.at_once is None:
            return None
        if answer.reasoning is None or not self.may_be_shown(text, answer):
            return None
        return left_out(text, answer.reasoning)

    def with_effect(self, answer: Answer, without: Answer) -> Answer:
        """Return an answer with the effect of what its reasoning quotes; `without` is that to the text without it."""
        if without.log_scores is None or answer.leads_to is None:
            return answer
        before, after = (
            max(self._probability("fast", scores, answer.leads_to), _SMALLEST_PROBABILITY)
            for scores in (answer.at_once, without.log_scores)
        )
        return replace(answer, effect=float(np.log(before / after)), seconds=answer.seconds + without.seconds)

    def is_worth_more(self, text: str, answer: Answer) -> bool:
        """Return whether another reasoning may be shown where this one may not: none is if the label is unsure."""
        if answer.at_once is not None:
            best = int(answer.at_once.argmax())
            if self._probability("fast", answer.at_once, best) < self._card.filters.min_probability:
                return False
        return not self.may_be_shown(text, answer)

    def may_be_shown(self, text: str, answer: Answer) -> bool:
        """Return whether a reasoning may be shown beside the label that it leads to."""
        if answer.reasoning is None or answer.leads_to is None:
            return False
        scores = answer.log_scores if answer.at_once is None else answer.at_once
        return self._withholding.may_be_shown(
            text,
            self._card.labels.names[answer.leads_to],
            answer.reasoning,
            finished=answer.status != "reasoning_cut",
            probability=self._probability(
                "reasoned" if answer.at_once is None else "fast", scores, answer.leads_to
            ),
            effect=answer.effect,
        )

    def _probability(self, mode: Mode, log_scores: NDArray[np.float64] | None, label: int) -> float:
        if log_scores is None:
            return 0.0
        return float(np.exp(self._card.calibration.log_probabilities(mode, log_scores)[label]))

    def blend(self, fast: Answer, reasoned: Answer) -> Answer:
        """Return the answer of mode `blend` from those of fast and reasoned."""
        both = replace(reasoned, seconds=fast.seconds + reasoned.seconds)
        if fast.log_scores is None or reasoned.log_scores is None:
            return replace(both, log_scores=None, error=fast.error or reasoned.error)
        return replace(both, log_scores=self._card.calibration.blended(fast.log_scores, reasoned.log_scores))

    def is_close(self, fast: Answer) -> bool:
        """Return whether mode `adaptive` asks for a reasoning after this answer at once."""
        return fast.log_scores is not None and bool(self._card.calibration.is_close(fast.log_scores))

    def adaptive(self, fast: Answer, reasoned: Answer | None) -> Answer:
        """Return the answer of mode `adaptive` from that of fast, and that of reasoned where it was asked for."""
        # The mode mixes rows of two modes, so all of them use calibrated probabilities.
        if reasoned is None or not self.is_close(fast):
            return self._calibrated("fast", fast)
        spent = fast.seconds + reasoned.seconds
        if reasoned.log_scores is None:
            # The fast answer is valid, if less sure than it was meant to be.
            valid = self._calibrated("fast", fast)
            return replace(valid, status="reasoning_failed", error=reasoned.error, seconds=spent)
        return replace(self._calibrated("reasoned", reasoned), seconds=spent)

    def _calibrated(self, mode: Mode, answer: Answer) -> Answer:
        if answer.log_scores is None:
            return answer
        return replace(answer, log_scores=self._card.calibration.log_probabilities(mode, answer.log_scores))

    def _after_reasonings(
        self, at_once: AtOnce, places: Sequence[int], temperature: float, seed: int = 0
    ) -> Iterator[Answer]:
        """Yield answers after new reasonings about the texts at these places, in order."""
        found = self.answerer.after_reasonings(at_once, places, temperature, seed)
        return self._measured(at_once, places, found) if self._withholding.measures_effects else found

    def _measured(
        self, at_once: AtOnce, places: Sequence[int], answers: Iterator[Answer]
    ) -> Iterator[Answer]:
        """Yield the answers, those whose reasoning may be shown with the effect of what it quotes."""
        for start in range(0, len(places), self.answerer.scored_rows):
            some = list(islice(answers, self.answerer.scored_rows))
            texts = [at_once.texts[place] for place in places[start : start + len(some)]]
            shortened = {
                number: text
                for number, pair in enumerate(zip(texts, some, strict=True))
                if (text := self.without_quotations(*pair)) is not None
            }
            scored = dict(zip(shortened, self.answerer.at_once(list(shortened.values())), strict=True))
            for number, answer in enumerate(some):
                yield self.with_effect(answer, scored[number]) if number in scored else answer


def averaged(votes: Sequence[Answer], may_be_shown: Sequence[bool]) -> Answer:
    """Return the log of the mean probabilities of several answers to one text, without the failed ones.

    The reasoning is that of the answer with the highest probability of the winning label, among those that lead to
    it and may be shown, if there are any.
    """
    counted = [
        (vote, probabilities(vote.log_scores), shown)
        for vote, shown in zip(votes, may_be_shown, strict=True)
        if vote.log_scores is not None
    ]
    if not counted:
        return with_cost(votes[0], votes)
    mean = np.mean([row for _, row, _ in counted], axis=0)
    winner = int(mean.argmax())
    representative, _, _ = max(
        counted, key=lambda item: (item[2] and item[0].leads_to == winner, float(item[1][winner]))
    )
    log_scores = np.log(np.maximum(mean, _SMALLEST_PROBABILITY))
    return with_cost(replace(representative, log_scores=log_scores), votes)


def highest_probability(answer: Answer) -> float:
    """Return the probability of an answer's best label before any temperature; 0 if it has none."""
    return 0.0 if answer.log_scores is None else float(probabilities(answer.log_scores).max())


def with_cost(answer: Answer, drawn: Sequence[Answer]) -> Answer:
    """Return an answer with the cost of all that were drawn for its text."""
    seconds, tokens = sum(one.seconds for one in drawn), sum(one.tokens for one in drawn)
    return replace(answer, seconds=seconds, tokens=tokens)
