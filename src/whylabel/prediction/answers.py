"""Answers to texts: labels are scored at once, or after a reasoning that is written for the text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from whylabel.prediction.scoring import DecisionScorer, LabelScorer
from whylabel.text.prompts import Prompt, Prompts
from whylabel.types import Status

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


class AtOnce:
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


class Answerer:
    """Answers texts at once, or after reasonings that an engine writes. A failed text does not affect the others."""

    def __init__(self, loaded: LoadedModel, card: ModelCard, prompts: Prompts, engine: Engine) -> None:
        self._card, self._prompts, self._engine = card, prompts, engine
        self.scored_rows = _GPU_SCORED_ROWS if loaded.device.type == "cuda" else _CPU_SCORED_ROWS
        self._scorer, self.prompt = _scoring(loaded, card, prompts)
        # A model that can answer at once does so beside its reasonings, too: to see whether the two agree.
        self.answers_at_once = "fast" in card.modes
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

    def at_once(self, texts: Sequence[str]) -> list[Answer]:
        """Return the answers without a reasoning."""
        return self.score([self.prompt(text) for text in texts])

    def after_reasonings(
        self, at_once: AtOnce, places: Sequence[int], temperature: float, seed: int
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
            if len(written) == self.scored_rows:
                done |= self._scored(at_once, places, written)
                written = []
            while following in done:
                yield done.pop(following)
                following += 1
        done |= self._scored(at_once, places, written)
        for rest in range(following, len(places)):
            yield done[rest]

    def _scored(
        self, at_once: AtOnce, places: Sequence[int], written: Sequence[Completion]
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

    def _beside(self, at_once: AtOnce, place: int, answer: Answer) -> Answer:
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
        self, at_once: AtOnce, places: Sequence[int], temperature: float, seed: int, done: dict[int, Answer]
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
        self, at_once: AtOnce, places: Sequence[int], batch: WrittenBatch
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


def _is_finite(row: NDArray[np.float64] | None) -> bool:
    return row is not None and bool(np.isfinite(row).all())


def _best_label(answer: Answer) -> int | None:
    return None if answer.log_scores is None else int(answer.log_scores.argmax())
