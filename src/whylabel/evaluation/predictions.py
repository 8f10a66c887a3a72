"""`evaluation/predictions.parquet`: one row per test row, model and mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whylabel.errors import DataError
from whylabel.host.atomic import whole_file
from whylabel.types import Example, Prediction

COLUMNS = (
    "model",
    "mode",
    "id",
    "text",
    "gold",
    "label",
    "probabilities",
    "reasoning",
    "status",
    "seconds",
    "tokens",
    "error",
)


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


def prediction_rows(
    model: str, test: Sequence[Example], predictions: Sequence[Prediction]
) -> tuple[PredictionRow, ...]:
    """Combine predictions with their test rows; both must be in the same order."""
    return tuple(
        PredictionRow(model, row.text, row.label, prediction)
        for row, prediction in zip(test, predictions, strict=True)
    )


def write_predictions(path: Path, rows: Sequence[PredictionRow]) -> None:
    """Write the rows as Parquet, completely or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "probabilities": pa.list_(pa.float64()),
        "seconds": pa.float64(),
        "tokens": pa.int64(),
    }
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    table = pa.Table.from_pylist([_columns(row) for row in rows], schema=schema)
    with whole_file(path) as aside:
        pq.write_table(table, aside)


def read_predictions(path: Path) -> tuple[PredictionRow, ...]:
    """Read the rows. Raises `DataError` if the file is missing, is not Parquet or lacks a column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        records = pq.read_table(path, columns=list(COLUMNS)).to_pylist()
        return tuple(_row(record) for record in records)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(
            f"The predictions cannot be read: {str(error).splitlines()[0]}.",
            where=str(path),
            fix="remove the file, then: whylabel evaluate RECIPE",
        ) from None


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
    }


def _row(record: dict[str, Any]) -> PredictionRow:
    prediction = Prediction(
        id=record["id"],
        label=record["label"],
        probabilities=tuple(record["probabilities"] or ()),
        reasoning=record["reasoning"],
        mode=record["mode"],
        status=record["status"],
        seconds=record["seconds"],
        tokens=record["tokens"],
        error=record["error"],
    )
    return PredictionRow(record["model"], record["text"], record["gold"], prediction)
