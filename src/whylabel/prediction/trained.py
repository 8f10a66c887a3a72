"""Prediction with a trained model: labels, the probability of every label, and reasonings."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from whylabel.prediction.card import ModelCard
from whylabel.prediction.evidence import find_evidence
from whylabel.prediction.modes import Answer, Reader
from whylabel.prediction.room import text_limit
from whylabel.run_folder import RunFolder
from whylabel.text.prompts import Prompts
from whylabel.text.words import is_broken
from whylabel.types import Mode, Prediction, Status

# Rows that are computed together: large for the speed of a GPU, small for frequent progress on a CPU.
_GPU_CHUNK_ROWS, _CPU_CHUNK_ROWS = 512, 64
_BLANK = Answer(None, error="the text is blank")
_UNREADABLE = Answer(
    None, error="the text or its id is not readable as text (broken Unicode, NUL, or a list)"
)

Rows = Sequence[tuple[str, str | None]]
"""(id, text); None for a text that could not be read."""


class TrainedClassifier:
    """A classifier or baseline in memory.

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
        self._reader = Reader(loaded, card, self.prompts, engine or TransformersEngine(loaded))

    @classmethod
    def from_folder(
        cls, folder: str | Path, *, device: str = "auto", dtype: str = "auto"
    ) -> TrainedClassifier:
        """Load a run folder's classifier, or a model folder. Raises `ModelError` if it is neither."""
        path = model_folder(folder)
        card = ModelCard.from_json(read_card(path), path)
        with as_found():
            return cls(load(str(path), device=device, dtype=dtype), card)

    def __reduce__(self) -> tuple[Any, ...]:
        # The parts that score and generate are made again. Weights on a GPU travel to a machine that may have none.
        return _unpickled, (self.loaded.on_cpu(), self.card, self.loaded.device.type)

    def predict(
        self, rows: Rows, mode: Mode | None = None, *, abstain_below: float = 0.0, evidence: bool = False
    ) -> Iterator[Prediction]:
        """Yield a prediction for every (id, text), in order. A blank or unreadable text fails without affecting
        others.

        `mode` None is the model's default. A prediction whose best probability is below `abstain_below` has the
        status `abstained`. With `evidence`, each prediction has the stretches of the text that its label rests on,
        which takes up to 13 scorings a text. Raises `ModelError` if the model does not have the mode, and for
        abstaining if each label is decided separately.
        """
        mode = mode or self.mode
        found = self.predict_in_modes(rows, (mode,), abstain_below=abstain_below, evidence=evidence)
        return (predictions[mode] for predictions in found)

    def predict_in_modes(
        self, rows: Rows, modes: Sequence[Mode], *, abstain_below: float = 0.0, evidence: bool = False
    ) -> Iterator[dict[Mode, Prediction]]:
        """Yield every row's prediction in each mode, as `predict` does; nothing is computed twice."""
        for mode in modes:
            self.card.check_mode(mode)
        if abstain_below > 0:
            self.card.check_abstaining()
        return self._predict(rows, modes, abstain_below, evidence)

    def log_scores(self, rows: Rows, modes: Sequence[Mode]) -> dict[Mode, NDArray[np.float64]]:
        """Return the log-scores of each mode before any temperature, shape (rows, labels).

        If a text may have several labels, they are log-odds. A row that could not be scored is NaN.
        """
        missing = np.full(len(self.labels), np.nan)
        found: dict[Mode, list[NDArray[np.float64]]] = {mode: [] for mode in modes}
        for start in range(0, len(rows), self._chunk_rows):
            answers, _ = self._read(rows[start : start + self._chunk_rows], modes)
            for mode in modes:
                found[mode] += [
                    missing if answer.log_scores is None else answer.log_scores for answer in answers[mode]
                ]
        return {mode: np.array(scores).reshape(len(rows), len(self.labels)) for mode, scores in found.items()}

    def _predict(
        self, rows: Rows, modes: Sequence[Mode], abstain_below: float, evidence: bool
    ) -> Iterator[dict[Mode, Prediction]]:
        for start in range(0, len(rows), self._chunk_rows):
            chunk = rows[start : start + self._chunk_rows]
            answers, trimmed = self._read(chunk, modes)
            predicted = {
                mode: [
                    self._prediction(row_id, mode, answers[mode][place], trimmed[place], abstain_below)
                    for place, (row_id, _) in enumerate(chunk)
                ]
                for mode in modes
            }
            if evidence:
                predicted = {
                    mode: self._with_evidence(chunk, mode, found) for mode, found in predicted.items()
                }
            for place in range(len(chunk)):
                yield {mode: predicted[mode][place] for mode in modes}

    def _with_evidence(self, rows: Rows, mode: Mode, predictions: Sequence[Prediction]) -> list[Prediction]:
        """Return the predictions of one mode with the evidence for their labels; a failed row has none."""
        started = time.monotonic()
        places = [place for place, prediction in enumerate(predictions) if prediction.status != "failed"]
        texts = [self.prompts.trim(rows[place][1] or "", self.card.max_text_tokens) for place in places]
        labels = [predictions[place].label for place in places]

        def log_p(numbers: Sequence[int], shortened: Sequence[str]) -> list[float]:
            reasonings = [predictions[places[number]].reasoning for number in numbers]
            answers = self._reader.read_after(mode, shortened, reasonings)
            return [
                math.nan
                if answer.log_scores is None
                else self.card.log_probability(mode, answer.log_scores, labels[number])
                for number, answer in zip(numbers, answers, strict=True)
            ]

        found = dict(zip(places, find_evidence(texts, log_p), strict=True)) if places else {}
        seconds = (time.monotonic() - started) / max(1, len(places))
        return [
            replace(prediction, evidence=found[place], seconds=prediction.seconds + seconds)
            if place in found
            else prediction
            for place, prediction in enumerate(predictions)
        ]

    def _read(self, rows: Rows, modes: Sequence[Mode]) -> tuple[dict[Mode, list[Answer]], list[bool]]:
        """Return an answer for every mode and row, and which texts were trimmed."""
        refused = [_refusal(text) for _, text in rows]
        places = [place for place, answer in enumerate(refused) if answer is None]
        given = [rows[place][1] or "" for place in places]
        texts = [self.prompts.trim(text, self._text_limit) for text in given]
        with as_found():
            found = self._reader.read(texts, modes)
        answers: dict[Mode, list[Answer]] = {}
        for mode in modes:
            read = iter(found[mode])
            answers[mode] = [answer or next(read) for answer in refused]
        trimmed = {place for place, text, other in zip(places, texts, given, strict=True) if text != other}
        return answers, [place in trimmed for place in range(len(rows))]

    def _prediction(
        self, row_id: str, mode: Mode, answer: Answer, trimmed: bool, abstain_below: float
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
