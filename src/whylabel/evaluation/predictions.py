"""`evaluation/predictions.parquet`: one row per test row, model and mode."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from whylabel.data.lazy import LazySequence
from whylabel.data.parquet import Kind, read_rows, row_tables
from whylabel.data.writers import parquet_file
from whylabel.types import Example, Mode, Prediction

if TYPE_CHECKING:
    import pyarrow

_SCHEMA: dict[str, Kind] = {
    "model": "text",
    "mode": "text",
    "id": "text",
    "text": "text",
    "gold": "text",
    "label": "text",
    "probabilities": "numbers",
    "reasoning": "text",
    "status": "text",
    "seconds": "number",
    "tokens": "whole",
    "error": "text",
    "reasoning_status": "text",
    "disagrees": "truth",
}
_LATER = ("reasoning_status", "disagrees")
"""Columns that files of older versions do not have."""
COLUMNS = tuple(_SCHEMA)
_HEAD = ("model", "mode", "id", "gold", "label", "status")
_WHAT, _FIX = "The predictions", "remove the file, then: whylabel evaluate RECIPE"


class _Reading(TypedDict):
    what: str
    fix: str
    optional: Collection[str]
    may_lack: Collection[str]


_READ: _Reading = {
    "what": "The predictions",
    "fix": "remove the file, then: whylabel evaluate RECIPE",
    "optional": ("reasoning", "error", *_LATER),
    "may_lack": _LATER,
}


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """The prediction of `model` (`baseline`, `classifier` or a floor) for one test row."""

    model: str
    text: str
    gold: str
    prediction: Prediction

    @property
    def right(self) -> bool:
        """Whether the predicted label is the gold label."""
        return self.prediction.status != "failed" and self.prediction.label == self.gold


@dataclass(frozen=True, slots=True)
class Head:
    """What became of one test row: all of its prediction that is short."""

    model: str
    mode: Mode
    id: str
    gold: str
    label: str
    right: bool

    @classmethod
    def of(cls, row: PredictionRow) -> Head:
        """Return that of a prediction."""
        said = row.prediction
        return cls(row.model, said.mode, said.id, row.gold, said.label, row.right)


class PredictionRows(LazySequence[PredictionRow]):
    """A model's predictions beside their test rows, both in the same order; a row is made when it is asked for.

    A slice is a tuple.
    """

    def __init__(self, model: str, test: Sequence[Example], predictions: Sequence[Prediction]) -> None:
        self._model, self._test, self._predictions = model, test, predictions

    def __len__(self) -> int:
        return len(self._predictions)

    def _at(self, place: int) -> PredictionRow:
        return self._row(self._test[place], self._predictions[place])

    def __iter__(self) -> Iterator[PredictionRow]:
        return starmap(self._row, zip(self._test, self._predictions, strict=True))

    def _row(self, row: Example, prediction: Prediction) -> PredictionRow:
        return PredictionRow(self._model, row.text, row.label, prediction)


def by_model_and_mode(rows: Iterable[PredictionRow]) -> dict[tuple[str, Mode], list[PredictionRow]]:
    """Return the predictions of each model in each mode, in their order."""
    found: dict[tuple[str, Mode], list[PredictionRow]] = {}
    for row in rows:
        found.setdefault((row.model, row.prediction.mode), []).append(row)
    return found


def write_predictions(path: Path, rows: Iterable[PredictionRow]) -> None:
    """Write the rows as Parquet, whole or not at all."""
    with parquet_file(path, _SCHEMA) as write:
        for row in rows:
            write(_columns(row))


def read_predictions(path: Path) -> tuple[PredictionRow, ...]:
    """Read the rows back. Raises `RunFolderError` if the file is missing, damaged or lacks a column."""
    return tuple(iterate_predictions(path))


def iterate_predictions(path: Path, at: Sequence[int] | None = None) -> Iterator[PredictionRow]:
    """Yield the rows; a few thousand are in memory at a time. Raises what `read_predictions` does.

    `at`: only the rows with these numbers, which count from 0 and ascend.
    """
    return map(_row, read_rows(path, _SCHEMA, **_READ, at=at))


def prediction_tables(path: Path, columns: Collection[str]) -> Iterator[pyarrow.Table]:
    """Yield some columns of all rows as tables of a few thousand rows. Raises what `read_predictions` does."""
    schema = {name: kind for name, kind in _SCHEMA.items() if name in columns}
    return row_tables(path, schema, **_READ)


def iterate_heads(path: Path) -> Iterator[Head]:
    """Yield what became of each row, without reading texts. Raises what `read_predictions` does."""
    for record in read_rows(path, {name: _SCHEMA[name] for name in _HEAD}, what=_WHAT, fix=_FIX):
        right = record["status"] != "failed" and record["label"] == record["gold"]
        yield Head(record["model"], record["mode"], record["id"], record["gold"], record["label"], right)


def _columns(row: PredictionRow) -> dict[str, Any]:
    prediction = row.prediction
    return {
        "model": row.model,
        "mode": prediction.mode,
        "id": prediction.id,
        "text": row.text,
        "gold": row.gold,
        "label": prediction.label,
        "probabilities": list(prediction.probabilities),
        "reasoning": prediction.reasoning,
        "status": prediction.status,
        "seconds": prediction.seconds,
        "tokens": prediction.tokens,
        "error": prediction.error,
        "reasoning_status": prediction.reasoning_status,
        "disagrees": prediction.disagrees,
    }


def _row(record: dict[str, Any]) -> PredictionRow:
    prediction = Prediction(
        id=record["id"],
        label=record["label"],
        probabilities=tuple(record["probabilities"]),
        reasoning=record["reasoning"],
        mode=record["mode"],
        status=record["status"],
        seconds=record["seconds"],
        tokens=record["tokens"],
        error=record["error"],
        reasoning_status=record["reasoning_status"],
        disagrees=record["disagrees"],
    )
    return PredictionRow(record["model"], record["text"], record["gold"], prediction)
