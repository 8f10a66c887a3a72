"""How predictions are written: JSONL as they come, CSV safe for spreadsheets, or Parquet."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from whylabel.atomic import whole_file
from whylabel.errors import UsageError
from whylabel.labels import LabelSet
from whylabel.spreadsheet import harmless
from whylabel.types import Prediction

Write = Callable[[Prediction], None]
Opener = Callable[[LabelSet], AbstractContextManager[Write]]


def read_lines() -> list[tuple[str, str]]:
    """Return (line number, text) of every line on stdin."""
    return [(str(number), line.rstrip("\r\n")) for number, line in enumerate(sys.stdin, start=1)]


def write_predictions(output: Path | None) -> Opener:
    """Return the writer for a path: JSONL on stdout without one, else by suffix.

    A file appears whole when all rows are written. Raises `UsageError` if the suffix is unknown.
    """
    if output is None:
        return lambda labels: _jsonl(sys.stdout, labels)
    writers = {".jsonl": _jsonl_file, ".csv": _csv_file, ".parquet": _parquet_file}
    writer = writers.get(output.suffix.lower())
    if writer is None:
        raise UsageError(
            f"Predictions cannot be written as {output.suffix or 'a file without suffix'!r}.",
            where=str(output),
            fix=f"name a file that ends in {', '.join(writers)}",
        )
    return lambda labels: writer(output, labels)


def _record(prediction: Prediction, labels: LabelSet) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": prediction.id,
        "label": prediction.label,
        "probabilities": dict(zip(labels.names, prediction.probabilities, strict=False)),
        "reasoning": prediction.reasoning,
        "mode": prediction.mode,
        "status": prediction.status,
    }
    return {**record, "error": prediction.error} if prediction.error else record


@contextmanager
def _jsonl(stream: IO[str], labels: LabelSet) -> Iterator[Write]:
    def write(prediction: Prediction) -> None:
        stream.write(json.dumps(_record(prediction, labels), ensure_ascii=False) + "\n")
        stream.flush()

    yield write


@contextmanager
def _jsonl_file(path: Path, labels: LabelSet) -> Iterator[Write]:
    with (
        whole_file(path) as aside,
        aside.open("w", encoding="utf-8") as stream,
        _jsonl(stream, labels) as write,
    ):
        yield write


@contextmanager
def _csv_file(path: Path, labels: LabelSet) -> Iterator[Write]:
    columns = ["id", "label", *(f"p({name})" for name in labels.names), "reasoning", "status", "error"]
    with whole_file(path) as aside, aside.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([harmless(name) for name in columns])

        def write(prediction: Prediction) -> None:
            chances = [f"{value:.6f}" for value in prediction.probabilities] or [""] * len(labels)
            texts = (prediction.reasoning or "", prediction.status, prediction.error or "")
            row = [harmless(prediction.id), harmless(prediction.label), *chances]
            table.writerow([*row, *(harmless(text) for text in texts)])

        yield write


@contextmanager
def _parquet_file(path: Path, labels: LabelSet) -> Iterator[Write]:
    import pyarrow
    import pyarrow.parquet

    chances = pyarrow.struct([(name, pyarrow.float64()) for name in labels.names])
    text = pyarrow.string()
    schema = pyarrow.schema(
        [
            *(("id", text), ("label", text), ("probabilities", chances), ("reasoning", text)),
            *(("mode", text), ("status", text), ("error", text)),
        ]
    )
    rows: list[dict[str, Any]] = []
    with whole_file(path) as aside:
        yield lambda prediction: rows.append({"error": None, **_record(prediction, labels)})
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), aside)
