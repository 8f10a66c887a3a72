"""The modes of a trained model: each gives scores over the closed set, with its cost.

- `fast`: the label is scored directly after the prompt, in one pass;
- `reasoned`: a reasoning is written, then the label is scored after it;
- `vote`: several reasonings are sampled, and the probabilities after each are averaged;
- `blend`: the log-probabilities of fast and reasoned are interpolated;
- `adaptive`: fast, but reasoned if the two best labels of fast are close (and fast all the same if that fails).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from whylabel.engines.base import Completion, Engine, Sampling
from whylabel.engines.isolation import Isolation
from whylabel.engines.transformers import TransformersEngine, WrittenBatch
from whylabel.models.load import LoadedModel
from whylabel.prediction.card import ModelCard
from whylabel.prediction.continued import ContinuedScorer
from whylabel.prediction.engine import PredictionEngine
from whylabel.prediction.scoring import DecisionScorer, LabelScorer, probabilities
from whylabel.prediction.withheld import Withholding
from whylabel.text.prompts import Prompt, Prompts
from whylabel.text.quotes import left_out
from whylabel.types import Mode, Status

_SMALLEST_PROBABILITY = 1e-300
# Reasonings after which labels are scored together: among many, those of a batch are of similar length.
_GPU_SCORED_ROWS, _CPU_SCORED_ROWS = 512, 256


@dataclass(frozen=True, slots=True)
class Answer:
    """The result for one text: `log_scores` of the labels in label order, before the mode's temperature.

    If a text may have several labels, they are the log-odds of each label.
    `log_scores` is None if the text could not be scored; `error` is the reason. With the status `reasoning_failed`
    the scores are those without a reasoning, and `error` is why there is none.
    """

    log_scores: NDArray[np.float64] | None
    reasoning: str | None = None
    status: Status = "ok"
    seconds: float = 0.0
    tokens: int = 0
    error: str | None = None
    leads_to: int | None = None
    """The place of the most probable label after the reasoning."""
    at_once: NDArray[np.float64] | None = None
    """The log-scores without a reasoning, before a temperature; None if they are not known."""
    effect: float | None = None
    """How far log p of `leads_to` at once falls without what the reasoning quotes, in nats; None: not measured."""


class _AtOnce:
    """The answers to texts without a reasoning, each computed when it is first wanted."""

    def __init__(self, read: Callable[[Sequence[str]], list[Answer]], texts: Sequence[str]) -> None:
        self._read, self.texts = read, texts
        self.found: dict[int, Answer] = {}

    def missing(self, places: Iterable[int]) -> list[int]:
        """Return the places of texts whose answers are not known."""
        return [place for place in dict.fromkeys(places) if place not in self.found]

    def find(self, places: Iterable[int]) -> None:
        """Compute the answers to the texts at these places that are not known."""
        if missing := self.missing(places):
            self.found |= dict(
                zip(missing, self._read([self.texts[place] for place in missing]), strict=True)
            )

    def __getitem__(self, place: int) -> Answer:
        self.find([place])
        return self.found[place]


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
        self._card, self._prompts, self._engine = card, prompts, engine
        self._scored_rows = _GPU_SCORED_ROWS if loaded.device.type == "cuda" else _CPU_SCORED_ROWS
        self._scorer, self.prompt = _scoring(loaded, card, prompts)
        # A model that can answer at once does so beside its reasonings, too: to see whether the two agree.
        self.answers_at_once = "fast" in card.modes
        self._withholding = withholding or Withholding(card)
        self._continued = (
            ContinuedScorer(loaded, self._scorer)
            if isinstance(self._scorer, LabelScorer) and prompts.marker_id is not None
            else None
        )
        self._isolation: Isolation[Sequence[int], NDArray[np.float64]] = Isolation(
            lambda part: list(self._scorer.log_scores(part)),
            lambda: self._scorer.log_scores([[self._prompts.eos_id]]),
            "score labels",
        )

    def read(self, texts: Sequence[str], modes: Collection[Mode]) -> dict[Mode, list[Answer]]:
        """Return an answer for every mode and text; results that several modes need are computed once."""
        rows = list(self.read_each(texts, modes))
        return {mode: [row[mode] for row in rows] for mode in modes}

    def read_each(self, texts: Sequence[str], modes: Collection[Mode]) -> Iterator[dict[Mode, Answer]]:
        """Yield every text's answers in order, as soon as they are known; see `read`."""
        requested = set(modes)
        at_once = _AtOnce(self._fast, texts)
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
            return self._fast(texts)
        return self.score(
            [self._prompts.after_reasoning(*pair) for pair in zip(texts, reasonings, strict=True)]
        )

    # -- the modes ---------------------------------------------------------------------------------------

    def _fast(self, texts: Sequence[str]) -> list[Answer]:
        return self.score([self.prompt(text) for text in texts])

    def _reasoned(self, at_once: _AtOnce, places: Sequence[int]) -> Iterator[Answer]:
        """Yield the answers after a reasoning about the texts at these places."""
        first = self._after_reasonings(at_once, places, temperature=0.0)
        more = self._card.reasoning_attempts - 1
        return self._with_more_attempts(at_once, places, list(first), more) if more else first

    def _with_more_attempts(
        self, at_once: _AtOnce, places: Sequence[int], first: Sequence[Answer], more: int
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

    def _vote(self, at_once: _AtOnce) -> Iterator[Answer]:
        count = self._card.vote.reasonings
        drawn = self._drawn(at_once, range(len(at_once.texts)), count)
        for text in at_once.texts:
            votes = list(islice(drawn, count))
            yield averaged(votes, [self.may_be_shown(text, vote) for vote in votes])

    def _drawn(self, at_once: _AtOnce, places: Sequence[int], count: int) -> Iterator[Answer]:
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

    # -- writing and scoring -----------------------------------------------------------------------------

    def _after_reasonings(
        self, at_once: _AtOnce, places: Sequence[int], temperature: float, seed: int = 0
    ) -> Iterator[Answer]:
        """Yield answers after new reasonings about the texts at these places, in order; see `_scored_after`."""
        found = self._scored_after(at_once, places, temperature, seed)
        return self._measured(at_once, places, found) if self._withholding.measures_effects else found

    def _measured(
        self, at_once: _AtOnce, places: Sequence[int], answers: Iterator[Answer]
    ) -> Iterator[Answer]:
        """Yield the answers, those whose reasoning may be shown with the effect of what it quotes."""
        for start in range(0, len(places), self._scored_rows):
            some = list(islice(answers, self._scored_rows))
            texts = [at_once.texts[place] for place in places[start : start + len(some)]]
            shortened = {
                number: text
                for number, pair in enumerate(zip(texts, some, strict=True))
                if (text := self.without_quotations(*pair)) is not None
            }
            scored = dict(zip(shortened, self._fast(list(shortened.values())), strict=True))
            for number, answer in enumerate(some):
                yield self.with_effect(answer, scored[number]) if number in scored else answer

    def _scored_after(
        self, at_once: _AtOnce, places: Sequence[int], temperature: float, seed: int
    ) -> Iterator[Answer]:
        """Yield the answers after reasonings about the texts at these places, in order.

        Scores are computed for some reasonings at a time, while others are still being written.
        """
        done: dict[int, Answer] = {}
        written: list[Completion] = []
        following = 0
        for completion in self._write(at_once, places, temperature, seed, done):
            if completion.index >= following and completion.index not in done:
                written.append(completion)
            if len(written) == self._scored_rows:
                done |= self._scored(at_once, places, written)
                written = []
            while following in done:
                yield done.pop(following)
                following += 1
        done |= self._scored(at_once, places, written)
        for rest in range(following, len(places)):
            yield done[rest]

    def _scored(
        self, at_once: _AtOnce, places: Sequence[int], written: Sequence[Completion]
    ) -> dict[int, Answer]:
        """Return the answers after reasonings; those without one, if they are wanted, come from the same pass."""
        usable = [item for item in written if item.finish != "error"]
        missing = at_once.missing(places[item.index] for item in written) if self.answers_at_once else []
        scored = iter(
            self.score(
                [
                    *(self.prompt(at_once.texts[place]) for place in missing),
                    *(
                        self._prompts.after_reasoning(at_once.texts[places[item.index]], item.text)
                        for item in usable
                    ),
                ]
            )
        )
        at_once.found |= dict(zip(missing, islice(scored, len(missing)), strict=True))
        answers = {
            item.index: self.reasoned_answer(item, answer)
            for item, answer in zip(usable, scored, strict=True)
        }
        failed = {item.index: Answer(None, error=item.error) for item in written if item.finish == "error"}
        return {
            index: self._beside(at_once, places[index], answer)
            for index, answer in (answers | failed).items()
        }

    def _beside(self, at_once: _AtOnce, place: int, answer: Answer) -> Answer:
        """Return an answer after a reasoning with the scores without, if the model can answer at once."""
        return replace(answer, at_once=at_once[place].log_scores) if self.answers_at_once else answer

    def reasoned_answer(self, written: Completion, scored: Answer) -> Answer:
        """Return the answer after a reasoning, given the scores after it."""
        if scored.log_scores is None:
            return Answer(None, error=scored.error)
        return Answer(
            scored.log_scores,
            reasoning=written.text,
            leads_to=_best_label(scored),
            status=self._status(written),
            seconds=written.seconds + scored.seconds,
            tokens=written.tokens,
        )

    def _write(
        self, at_once: _AtOnce, places: Sequence[int], temperature: float, seed: int, done: dict[int, Answer]
    ) -> Iterator[Completion]:
        """Yield the reasonings; answers that are known as soon as one is written are put into `done`."""
        if not places:
            return iter(())
        stops = tuple(sorted(self._prompts.stop_ids))
        sampling = Sampling(self._card.max_reasoning_tokens, stops, temperature, seed=seed)
        texts = [at_once.texts[place] for place in places]
        prompts = [Prompt(self._prompts.classifier(text, "reasoning_label")) for text in texts]
        if self._continued is None or not isinstance(self._engine, TransformersEngine | PredictionEngine):
            return self._engine.generate(prompts, sampling)
        return self._engine.generate(
            prompts,
            sampling,
            inspect=lambda batch: done.update(self._scored_from_cache(at_once, places, batch)),
        )

    def _scored_from_cache(
        self, at_once: _AtOnce, places: Sequence[int], batch: WrittenBatch
    ) -> dict[int, Answer]:
        """Return answers after the reasonings of a batch whose keys and values are still there.

        Those without a reasoning, if they are wanted, come from the same pass.
        """
        assert self._continued is not None
        started = time.monotonic()
        items = batch.completions
        row_of = {places[item.index]: row for row, item in reversed(list(enumerate(items)))}
        missing = at_once.missing(row_of) if self.answers_at_once else []
        prompts = [
            *((row_of[place], self.prompt(at_once.texts[place])) for place in missing),
            *(
                (row, self._prompts.after_reasoning(at_once.texts[places[item.index]], item.text))
                for row, item in enumerate(items)
            ),
        ]
        scores = (row if _is_finite(row) else None for row in self._continued.log_scores(batch, prompts))
        seconds = (time.monotonic() - started) / len(prompts)
        at_once.found |= {
            place: Answer(row, seconds=seconds)
            for place, row in zip(missing, islice(scores, len(missing)), strict=True)
            if row is not None
        }
        known = [(item, row) for item, row in zip(items, scores, strict=True) if row is not None]
        if self.answers_at_once:
            at_once.find(places[item.index] for item, _ in known)
        return {
            item.index: self._beside(
                at_once,
                places[item.index],
                self.reasoned_answer(item, Answer(row, seconds=seconds)),
            )
            for item, row in known
        }

    def score(self, prompts: Sequence[Sequence[int]]) -> list[Answer]:
        """Return an answer without a reasoning for every prompt; one that cannot be scored says why."""
        started = time.monotonic()
        rows = self._rows(prompts)
        seconds = (time.monotonic() - started) / max(1, len(prompts))
        return [
            Answer(None, error=row) if isinstance(row, str) else Answer(row, seconds=seconds) for row in rows
        ]

    def _rows(self, prompts: Sequence[Sequence[int]]) -> list[NDArray[np.float64] | str]:
        """Return the log-scores of every prompt, or the reason why it has none."""
        rows: list[NDArray[np.float64] | str] = []
        for _, scores, failure in self._isolation.run(list(prompts)) if prompts else ():
            rows += (
                [row if _is_finite(row) else "the model gave no finite score" for row in scores]
                if failure is None
                else [failure]
            )
        return rows

    def _status(self, completion: Completion) -> Status:
        if completion.finish == "length":
            return "reasoning_cut"
        if completion.stop_id is not None and completion.stop_id != self._prompts.marker_id:
            return "label_forced"
        return "ok"


def _scoring(
    loaded: LoadedModel, card: ModelCard, prompts: Prompts
) -> tuple[LabelScorer | DecisionScorer, Callable[[str], list[int]]]:
    """Return the scorer of the labels, and the function that renders its prompt for a text."""
    names = card.labels.names
    if card.multi_label is not None:
        questions = [prompts.decision_question(name) for name in names]
        yes, no = prompts.decision_answer(True), prompts.decision_answer(False)
        return DecisionScorer(loaded, questions, yes, no), prompts.decision_prefix
    form = card.label_form
    scorer = LabelScorer(loaded, [prompts.label_ids(name, form) for name in names])
    return scorer, lambda text: prompts.classifier(text, form)


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


def _is_finite(row: NDArray[np.float64] | None) -> bool:
    return row is not None and bool(np.isfinite(row).all())


def _best_label(answer: Answer) -> int | None:
    return None if answer.log_scores is None else int(answer.log_scores.argmax())


def highest_probability(answer: Answer) -> float:
    """Return the probability of an answer's best label before any temperature; 0 if it has none."""
    return 0.0 if answer.log_scores is None else float(probabilities(answer.log_scores).max())


def with_cost(answer: Answer, drawn: Sequence[Answer]) -> Answer:
    """Return an answer with the cost of all that were drawn for its text."""
    seconds, tokens = sum(one.seconds for one in drawn), sum(one.tokens for one in drawn)
    return replace(answer, seconds=seconds, tokens=tokens)
