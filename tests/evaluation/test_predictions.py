"""The file of predictions survives a round trip and has the promised columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whylabel.errors import RunFolderError
from whylabel.evaluation.predictions import (
    COLUMNS,
    PredictionRow,
    PredictionRows,
    read_predictions,
    write_predictions,
)
from whylabel.types import Example, Prediction

TEST = (Example("1", 'a\nb, "c" 🙂', "yes"), Example("2", "plain", "no"))
SAID = (
    Prediction("1", "yes", (0.75, 0.25), "because", "reasoned", "reasoning_cut", 0.25, 12),
    Prediction("2", "", (), None, "reasoned", "failed", error="out of memory"),
)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "evaluation" / "predictions.parquet"
    rows = PredictionRows("classifier", TEST, SAID)
    write_predictions(path, rows)
    assert read_predictions(path) == rows[:] == tuple(rows)
    assert [row.right for row in rows] == [True, False]


def test_columns_and_types(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, PredictionRows("baseline", TEST, SAID))
    schema = pq.read_schema(path)
    assert tuple(schema.names) == COLUMNS
    assert schema.field("probabilities").type == pa.list_(pa.float64())
    assert schema.field("tokens").type == pa.int64()


def test_no_rows_keep_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, [])
    assert read_predictions(path) == ()
    assert tuple(pq.read_schema(path).names) == COLUMNS


def test_a_failed_prediction_is_never_right() -> None:
    row = PredictionRow("classifier", "t", "", Prediction("1", "", (), status="failed"))
    assert not row.right


@pytest.mark.parametrize("content", [None, b"not parquet"])
def test_an_unreadable_file_is_one_clear_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "predictions.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_predictions(path)


def test_a_missing_column_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    pq.write_table(pa.table({"model": ["baseline"]}), path)
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_predictions(path)
