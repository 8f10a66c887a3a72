"""Prediction with a trained model: labels, the probability of every label, and reasonings."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whylabel.engines.base import Engine
from whylabel.engines.transformers import TransformersEngine
from whylabel.errors import ModelError
from whylabel.host.caller import as_found
from whylabel.host.paths import expanded
from whylabel.models.capabilities import positions_of
from whylabel.models.load import LoadedModel, load, read_card
from whylabel.prediction.answers import Answer
from whylabel.prediction.card import WRITING, ModelCard
from whylabel.prediction.engine import PredictionEngine
from whylabel.prediction.evidence import find_evidence, search_evidence
from whylabel.prediction.fluency import Fluency
from whylabel.prediction.modes import Reader
from whylabel.prediction.room import text_limit
from whylabel.prediction.steps import ModeSteps, Steps
from whylabel.prediction.withheld import Withholding, shown
from whylabel.recipe import PredictionEngineConfig
from whylabel.run_folder import RunFolder
from whylabel.text.prompts import Prompts
from whylabel.text.words import is_broken
from whylabel.types import Evidence, Mode, Prediction, Status

# Rows that are computed together: large for the speed of a GPU, small for frequent progress on a CPU.
_GPU_CHUNK_ROWS, _CPU_CHUNK_ROWS = 512, 64
_BLANK = Answer(None, error="the text is blank")
_UNREADABLE = Answer(
    None, error="the text or its id is not readable as text (broken Unicode, NUL, or a list)"
)

Rows = Sequence[tuple[str, str | None]]
"""(id, text); None for a text that could not be read."""


class TrainedClassifier:
    """A classifier or baseline in memory. `labels` are its labels in their order, `mode` is its default mode.

    >>> model = TrainedClassifier.from_folder("runs/quickstart")
    >>> next(model.predict([("1", "I could not stop smiling.")])).label
    """

    def __init__(self, loaded: LoadedModel, card: ModelCard, engine: Engine | None = None) -> None:
        self.loaded = loaded
        self.card = card
        self.labels = card.labels
        self.mode = card.mode
        self.prompts = Prompts(loaded.tokenizer, card.prompt_style, card.question, card.name, loaded.end_ids)
        self._text_limit = text_limit(card, self.prompts, positions_of(loaded.model))
        self._chunk_rows = _GPU_CHUNK_ROWS if loaded.device.type == "cuda" else _CPU_CHUNK_ROWS
        self._engine = engine or TransformersEngine(loaded)
        self._withholding = Withholding(card, lambda text, reasoning: self._fluency.of(text, reasoning))
        self._reader = Reader(loaded, card, self.prompts, self._engine, self._withholding)
        self._mode_steps = ModeSteps(self._reader, card, self.prompts)

    @cached_property
    def _fluency(self) -> Fluency:
        """The base model as a judge of reasonings, loaded when the first one is judged."""
        base = load(str(self.card.lineage.get("base_model")), device=str(self.loaded.device))
        card = self.card
        prompts = Prompts(base.tokenizer, card.prompt_style, card.question, card.name)
        return Fluency(base, prompts, self._text_limit)

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        engine: PredictionEngineConfig | None = None,
        engine_options: Mapping[str, Any] | None = None,
        engine_setting: str = "classifier.engine",
    ) -> TrainedClassifier:
        """Load a run folder's classifier, or a model folder. Raises `ModelError` if it is neither.

        `engine` says what writes reasonings (default: transformers), `engine_setting` where that was set, for
        messages.
        """
        path = model_folder(folder)
        card = ModelCard.from_json(read_card(path), path)
        with as_found():
            loaded = load(str(path), device=device, dtype=dtype)
        if engine is None:
            return cls(loaded, card)
        return cls(loaded, card, PredictionEngine(loaded, engine, engine_options, setting=engine_setting))

    def __reduce__(self) -> tuple[Any, ...]:
        # The parts that score and generate are made again. Weights on a GPU travel to a machine that may have none.
        return _unpickled, (self.loaded.on_cpu(), self.card, self.loaded.device.type)

    def predict(
        self,
        rows: Rows,
        mode: Mode | None = None,
        *,
        abstain_below: float = 0.0,
        evidence: bool = False,
        show_all: bool = False,
    ) -> Iterator[Prediction]:
        """Yield a prediction for every (id, text), in order. A blank or unreadable text fails without affecting
        others.

        `mode` None is the model's default. A prediction whose best probability is below `abstain_below` has the
        status `abstained`. With `evidence`, each prediction has the stretches of the text that its label rests on,
        which takes up to 13 scorings a text. With `show_all`, reasonings that are to be withheld are there, too;
        their `reasoning_status` says why. Raises `ModelError` if the model does not have the mode, and for
        abstaining if each label is decided separately.
        """
        mode = mode or self.mode
        found = self.predict_in_modes(
            rows, (mode,), abstain_below=abstain_below, evidence=evidence, show_all=show_all
        )
        return (predictions[mode] for predictions in found)

    def predict_in_modes(
        self,
        rows: Rows,
        modes: Sequence[Mode],
        *,
        abstain_below: float = 0.0,
        evidence: bool = False,
        show_all: bool = False,
    ) -> Iterator[dict[Mode, Prediction]]:
        """Yield every row's prediction in each mode, as `predict` does; nothing is computed twice."""
        for mode in modes:
            self.card.check_mode(mode)
        if abstain_below > 0:
            self.card.check_abstaining()
        found = self._predict(rows, modes, abstain_below)
        if evidence:
            # A model that cannot answer at once is asked after its reasoning, whether that is shown or not.
            found = self._with_evidence(rows, modes, found)
        if show_all:
            return found
        return ({mode: shown(row) for mode, row in predictions.items()} for predictions in found)

    def steps(
        self,
        row_id: str,
        text: str | None,
        mode: Mode,
        *,
        abstain_below: float = 0.0,
        evidence: bool = False,
        show_all: bool = False,
    ) -> Steps[Prediction]:
        """Return the way to the prediction of one text, as `predict` makes it, one step at a time.

        What is sampled depends on the text alone, not on the texts beside it as in `predict`.
        """
        answer, trimmed = _refusal(text), text or ""
        if answer is None:
            trimmed = self.prompts.trim(trimmed, self._text_limit)
            answer = yield from self._mode_steps.answer(trimmed, mode)
        prediction = self._prediction(row_id, text or "", mode, answer, trimmed != text, abstain_below)
        if evidence and prediction.status != "failed":
            prediction = yield from self._with_evidence_steps(trimmed, prediction)
        return prediction if show_all else shown(prediction)

    def score(self, prompts: Sequence[Sequence[int]]) -> list[Answer]:
        """Return what a step `Score` asks for."""
        with as_found():
            return self._reader.answerer.score(prompts)

    def with_evidence(self, rows: Rows, predictions: Sequence[Prediction]) -> Iterator[Prediction]:
        """Yield the predictions of the rows, all in one mode, with the evidence for their labels."""
        for start in range(0, len(rows), self._chunk_rows):
            chunk = slice(start, start + self._chunk_rows)
            yield from self._explained(rows[chunk], predictions[start].mode, predictions[chunk])

    def log_scores(self, rows: Rows, modes: Sequence[Mode]) -> dict[Mode, NDArray[np.float64]]:
        """Return the log-scores of each mode before any temperature, shape (rows, labels).

        If a text may have several labels, they are log-odds. A row that could not be scored is NaN.
        """
        missing = np.full(len(self.labels), np.nan)
        found: dict[Mode, list[NDArray[np.float64]]] = {mode: [] for mode in modes}
        for _, answers, _ in self._answers(rows, modes):
            for mode, answer in answers.items():
                found[mode].append(missing if answer.log_scores is None else answer.log_scores)
        return {mode: np.array(scores).reshape(len(rows), len(self.labels)) for mode, scores in found.items()}

    def log_probabilities_after(self, texts: Sequence[str], reasonings: Sequence[str]) -> NDArray[np.float64]:
        """Return log p of every label after given reasonings, calibrated, shape (texts, labels); NaN where it failed.

        Raises `ModelError` if the model reads no label after a reasoning (it has no mode `reasoned`).
        """
        self.card.check_mode("reasoned")
        found = np.full((len(texts), len(self.labels)), np.nan)
        for start in range(0, len(texts), self._chunk_rows):
            chunk = slice(start, start + self._chunk_rows)
            trimmed = [self.prompts.trim(text, self._text_limit) for text in texts[chunk]]
            with as_found():
                answers = self._reader.read_after("reasoned", trimmed, reasonings[chunk])
            for place, answer in enumerate(answers, start):
                if answer.log_scores is not None:
                    found[place] = self.card.calibration.log_probabilities("reasoned", answer.log_scores)
        return found

    def trimmed(self, text: str) -> str:
        """Return the text as the model reads it: cut where it would be too long."""
        return self.prompts.trim(text, self._text_limit)

    def close(self) -> None:
        """Free the engine that wrote reasonings; the model can still be used."""
        self._engine.close()

    def _predict(
        self, rows: Rows, modes: Sequence[Mode], abstain_below: float
    ) -> Iterator[dict[Mode, Prediction]]:
        for (row_id, text), (_, answers, trimmed) in zip(rows, self._answers(rows, modes), strict=True):
            yield {
                mode: self._prediction(row_id, text or "", mode, answer, trimmed, abstain_below)
                for mode, answer in answers.items()
            }

    def _with_evidence(
        self, rows: Rows, modes: Sequence[Mode], found: Iterator[dict[Mode, Prediction]]
    ) -> Iterator[dict[Mode, Prediction]]:
        """Yield the predictions of the rows with the evidence for their labels."""
        for start in range(0, len(rows), self._chunk_rows):
            chunk = rows[start : start + self._chunk_rows]
            predicted = list(islice(found, len(chunk)))
            explained = {
                mode: self._explained(chunk, mode, [row[mode] for row in predicted]) for mode in modes
            }
            for place in range(len(chunk)):
                yield {mode: explained[mode][place] for mode in modes}

    def _explained(self, rows: Rows, mode: Mode, predictions: Sequence[Prediction]) -> list[Prediction]:
        """Return the predictions of one mode with the evidence for their labels; a failed row has none."""
        started = time.monotonic()
        places = [place for place, prediction in enumerate(predictions) if prediction.status != "failed"]
        texts = [self.prompts.trim(rows[place][1] or "", self._text_limit) for place in places]
        labels = [predictions[place].label for place in places]

        scored = self._mode_of_evidence(mode)

        def log_p(numbers: Sequence[int], shortened: Sequence[str]) -> list[float]:
            reasonings = [predictions[places[number]].reasoning or "" for number in numbers]
            answers = self._reader.read_after(scored, shortened, reasonings)
            return [
                self._log_p(scored, answer, labels[number])
                for number, answer in zip(numbers, answers, strict=True)
            ]

        found: dict[int, tuple[Evidence, ...]] = {}
        if places:
            with as_found():
                found = dict(zip(places, find_evidence(texts, log_p), strict=True))
        seconds = (time.monotonic() - started) / max(1, len(places))
        return [
            replace(prediction, evidence=found[place], seconds=prediction.seconds + seconds)
            if place in found
            else prediction
            for place, prediction in enumerate(predictions)
        ]

    def _with_evidence_steps(self, text: str, prediction: Prediction) -> Steps[Prediction]:
        """Return a prediction with the evidence for its label, given its text as the model reads it."""
        mode, reasoning = self._mode_of_evidence(prediction.mode), prediction.reasoning or ""
        search = search_evidence(text)
        shortened = next(search)
        seconds = prediction.seconds
        while True:
            answers = yield from self._mode_steps.after(shortened, reasoning, mode)
            seconds += sum(answer.seconds for answer in answers)
            try:
                shortened = search.send([self._log_p(mode, answer, prediction.label) for answer in answers])
            except StopIteration as end:
                found: tuple[Evidence, ...] = end.value
                return replace(prediction, evidence=found, seconds=seconds)

    def _mode_of_evidence(self, mode: Mode) -> Mode:
        # A reasoning that names its label holds it fast, whatever the text: what the label rests on shows without it.
        return "fast" if "fast" in self.card.modes else mode

    def _log_p(self, mode: Mode, answer: Answer, label: str) -> float:
        if answer.log_scores is None:
            return math.nan
        return self.card.log_probability(mode, answer.log_scores, label)

    def _answers(self, rows: Rows, modes: Sequence[Mode]) -> Iterator[tuple[str, dict[Mode, Answer], bool]]:
        """Yield (id, its answer in every mode, whether its text was trimmed) of every row, in order."""
        size = self._rows_at_once(len(rows), modes)
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            refused = [_refusal(text) for _, text in chunk]
            given = [text or "" for (_, text), answer in zip(chunk, refused, strict=True) if answer is None]
            texts = [self.prompts.trim(text, self._text_limit) for text in given]
            trimmed = iter(text != other for text, other in zip(texts, given, strict=True))
            read = self._reader.read_each(texts, modes)
            for (row_id, _), answer in zip(chunk, refused, strict=True):
                if answer is None:
                    with as_found():
                        answers = next(read)
                    yield row_id, answers, next(trimmed)
                else:
                    yield row_id, dict.fromkeys(modes, answer), False

    def _rows_at_once(self, rows: int, modes: Sequence[Mode]) -> int:
        """Return how many rows are read together. An engine with a queue of its own gets many."""
        writing = [mode for mode in modes if mode in WRITING]
        if not rows or not writing or not isinstance(self._engine, PredictionEngine):
            return self._chunk_rows
        reasonings = rows * (self.card.vote.reasonings if "vote" in modes else 1)
        adaptive = self.card.calibration.adaptive
        if writing == ["adaptive"] and adaptive is not None:
            reasonings = round(rows * adaptive.share)
        self._engine.open(reasonings * self.card.max_reasoning_tokens)
        return self._engine.queued_rows or self._chunk_rows

    def _prediction(
        self, row_id: str, text: str, mode: Mode, answer: Answer, trimmed: bool, abstain_below: float
    ) -> Prediction:
        if answer.log_scores is None:
            return Prediction(row_id, "", (), mode=mode, status="failed", error=answer.error)
        label, probabilities = self.card.answer(mode, answer.log_scores)
        status: Status = answer.status
        if status == "ok" and trimmed:
            status = "truncated"
        if probabilities.max() < abstain_below:
            status = "abstained"
        return Prediction(
            id=row_id,
            label=label,
            probabilities=tuple(float(value) for value in probabilities),
            reasoning=answer.reasoning,
            mode=mode,
            status=status,
            seconds=answer.seconds,
            tokens=answer.tokens,
            error=answer.error,
            reasoning_status=self._reasoning_status(mode, text, label, probabilities, answer),
            disagrees=None
            if answer.leads_to is None or answer.at_once is None
            else answer.leads_to != int(answer.at_once.argmax()),
        )

    def _reasoning_status(
        self, mode: Mode, text: str, label: str, probabilities: NDArray[np.float64], answer: Answer
    ) -> str | None:
        if answer.reasoning is None or answer.leads_to is None:
            return None
        if answer.at_once is not None:
            _, probabilities = self.card.answer("fast", answer.at_once)
        return self._withholding.status(
            mode,
            text,
            label,
            answer.reasoning,
            finished=answer.status != "reasoning_cut",
            leads_to=self.labels.names[answer.leads_to],
            probability=float(probabilities[self.labels.index(label)]),
            effect=answer.effect,
        )


def _unpickled(loaded: LoadedModel, card: ModelCard, device: str) -> TrainedClassifier:
    """Return a pickled model, on its kind of device if this machine has one."""
    import torch

    if device != "cuda" or torch.cuda.is_available():
        loaded.model.to(device)
    return TrainedClassifier(loaded, card)


def _refusal(text: str | None) -> Answer | None:
    """Return the answer for a blank or unreadable text, which no model scores; else None."""
    if text is None or is_broken(text):
        return _UNREADABLE
    return None if text.strip() else _BLANK


def model_folder(path: str | Path) -> Path:
    """Return the model folder of a path: a model folder itself, or a run folder's classifier."""
    folder = expanded(path)
    if not folder.is_dir():
        raise ModelError(
            f"There is no model folder {str(path)!r}.", fix="name a run folder, or a model folder inside it"
        )
    classifier = RunFolder(folder).classifier_model
    return classifier if not (folder / "config.json").exists() and classifier.is_dir() else folder
