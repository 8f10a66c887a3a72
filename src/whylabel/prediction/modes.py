"""The modes of a trained model: each gives scores over the closed set, with its cost.

- `fast`: the label is scored directly after the prompt, in one pass;
- `reasoned`: a reasoning is written, then the label is scored after it;
- `vote`: several reasonings are sampled, and the probabilities after each are averaged;
- `blend`: the log-probabilities of fast and reasoned are interpolated;
- `adaptive`: fast, but reasoned if the two best labels of fast are close (and fast all the same if that fails).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whylabel.engines.base import Completion, Engine, Sampling
from whylabel.engines.isolation import Isolation
from whylabel.models.load import LoadedModel
from whylabel.prediction.card import ModelCard
from whylabel.prediction.scoring import DecisionScorer, LabelScorer, probabilities
from whylabel.text.prompts import Prompt, Prompts
from whylabel.types import Form, Mode, Status

_SMALLEST_PROBABILITY = 1e-300


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


class Reader:
    """Scores texts in any of the model's modes. A failed text does not affect the others."""

    def __init__(self, loaded: LoadedModel, card: ModelCard, prompts: Prompts, engine: Engine) -> None:
        self._card, self._prompts, self._engine = card, prompts, engine
        self._scorer, self._prompt = _scoring(loaded, card, prompts)
        self._isolation: Isolation[Sequence[int], NDArray[np.float64]] = Isolation(
            lambda part: list(self._scorer.log_scores(part)),
            lambda: self._scorer.log_scores([[self._prompts.eos_id]]),
            "score labels",
        )

    def read(self, texts: Sequence[str], modes: Collection[Mode]) -> dict[Mode, list[Answer]]:
        """Return an answer for every mode and text; results that several modes need are computed once."""
        requested = set(modes)
        found: dict[Mode, list[Answer]] = {}
        if requested & {"fast", "blend", "adaptive"}:
            found["fast"] = self._fast(texts)
        if requested & {"reasoned", "blend"}:
            found["reasoned"] = self._reasoned(texts)
        if "vote" in requested:
            found["vote"] = self._vote(texts)
        if "blend" in requested:
            found["blend"] = list(map(self._blend, found["fast"], found["reasoned"]))
        if "adaptive" in requested:
            found["adaptive"] = self._adaptive(texts, found["fast"], found.get("reasoned"))
        return {mode: found[mode] for mode in modes}

    def read_after(self, mode: Mode, texts: Sequence[str], reasonings: Sequence[str | None]) -> list[Answer]:
        """Return a mode's answer to each text after a reasoning that is given; nothing is written.

        `vote` and `reasoned` are the same here. Without a reasoning (None), `adaptive` answers as `fast` does.
        """
        fast = self._fast(texts) if mode in ("fast", "blend", "adaptive") else []
        if mode == "fast":
            return fast
        places = [place for place, reasoning in enumerate(reasonings) if reasoning is not None]
        prompts = [self._prompts.after_reasoning(texts[place], reasonings[place] or "") for place in places]
        reasoned = dict(zip(places, self._score(prompts), strict=True))
        if mode == "blend":
            return [self._blend(answer, reasoned[place]) for place, answer in enumerate(fast)]
        if mode == "adaptive":
            return [
                self._calibrated("reasoned", reasoned[place])
                if place in reasoned
                else self._calibrated("fast", answer)
                for place, answer in enumerate(fast)
            ]
        return [reasoned[place] for place in range(len(texts))]

    # -- the modes ---------------------------------------------------------------------------------------

    def _fast(self, texts: Sequence[str]) -> list[Answer]:
        return self._score([self._prompt(text) for text in texts])

    def _reasoned(self, texts: Sequence[str]) -> list[Answer]:
        return self._after_reasonings(texts, temperature=0.0)

    def _vote(self, texts: Sequence[str]) -> list[Answer]:
        vote = self._card.vote
        drawn = self._after_reasonings(
            [text for text in texts for _ in range(vote.reasonings)], vote.temperature, vote.seed
        )
        return [
            averaged(drawn[start : start + vote.reasonings])
            for start in range(0, len(drawn), vote.reasonings)
        ]

    def _blend(self, fast: Answer, reasoned: Answer) -> Answer:
        both = replace(reasoned, seconds=fast.seconds + reasoned.seconds)
        if fast.log_scores is None or reasoned.log_scores is None:
            return replace(both, log_scores=None, error=fast.error or reasoned.error)
        return replace(both, log_scores=self._card.calibration.blended(fast.log_scores, reasoned.log_scores))

    def _adaptive(
        self, texts: Sequence[str], fast: Sequence[Answer], reasoned: Sequence[Answer] | None
    ) -> list[Answer]:
        calibration = self._card.calibration
        close = [
            place
            for place, answer in enumerate(fast)
            if answer.log_scores is not None and calibration.is_close(answer.log_scores)
        ]
        if reasoned is None:
            again = self._reasoned([texts[place] for place in close])
        else:
            again = [reasoned[place] for place in close]
        # The mode mixes rows of two modes, so all of them use calibrated probabilities.
        found = [self._calibrated("fast", answer) for answer in fast]
        for place, answer in zip(close, again, strict=True):
            spent = fast[place].seconds + answer.seconds
            if answer.log_scores is None:
                # The fast answer is valid, if less sure than it was meant to be.
                found[place] = replace(
                    found[place], status="reasoning_failed", error=answer.error, seconds=spent
                )
            else:
                found[place] = replace(self._calibrated("reasoned", answer), seconds=spent)
        return found

    def _calibrated(self, mode: Mode, answer: Answer) -> Answer:
        if answer.log_scores is None:
            return answer
        return replace(answer, log_scores=self._card.calibration.log_probabilities(mode, answer.log_scores))

    # -- writing and scoring -----------------------------------------------------------------------------

    def _after_reasonings(self, texts: Sequence[str], temperature: float, seed: int = 0) -> list[Answer]:
        completions = self._write(texts, temperature, seed)
        written = [
            self._prompts.after_reasoning(text, completion.text)
            for text, completion in zip(texts, completions, strict=True)
            if completion.finish != "error"
        ]
        scored = iter(self._score(written))
        return [
            Answer(None, error=completion.error)
            if completion.finish == "error"
            else self._reasoned_answer(completion, next(scored))
            for completion in completions
        ]

    def _reasoned_answer(self, written: Completion, scored: Answer) -> Answer:
        if scored.log_scores is None:
            return Answer(None, error=scored.error)
        return Answer(
            scored.log_scores,
            reasoning=written.text,
            status=self._status(written),
            seconds=written.seconds + scored.seconds,
            tokens=written.tokens,
        )

    def _write(self, texts: Sequence[str], temperature: float, seed: int) -> list[Completion]:
        stops = tuple(sorted(self._prompts.stop_ids))
        sampling = Sampling(self._card.max_reasoning_tokens, stops, temperature, seed=seed)
        prompts = [Prompt(tuple(self._prompts.classifier(text, "reasoning_label"))) for text in texts]
        written = {item.index: item for item in self._engine.generate(prompts, sampling)}
        return [written[place] for place in range(len(texts))]

    def _score(self, prompts: Sequence[Sequence[int]]) -> list[Answer]:
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
            rows += scores if failure is None else [failure]
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
    form: Form = "label_reasoning" if card.target == "label_reasoning" else "label"
    scorer = LabelScorer(loaded, [prompts.label_ids(name, form) for name in names])
    return scorer, lambda text: prompts.classifier(text, form)


def averaged(votes: Sequence[Answer]) -> Answer:
    """Return the log of the mean probabilities of several answers to one text, without the failed ones.

    The reasoning is that of the answer with the highest probability of the winning label.
    """
    seconds, tokens = sum(vote.seconds for vote in votes), sum(vote.tokens for vote in votes)
    counted = [(vote, probabilities(vote.log_scores)) for vote in votes if vote.log_scores is not None]
    if not counted:
        return replace(votes[0], seconds=seconds, tokens=tokens)
    mean = np.mean([row for _, row in counted], axis=0)
    winner = int(mean.argmax())
    representative, _ = max(counted, key=lambda item: float(item[1][winner]))
    log_scores = np.log(np.maximum(mean, _SMALLEST_PROBABILITY))
    return replace(representative, log_scores=log_scores, seconds=seconds, tokens=tokens)
