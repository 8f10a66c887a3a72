"""How predictions are written: JSONL as they come, CSV safe for spreadsheets, or Parquet.

Where a text may have several labels, JSONL and Parquet also have them as a list, `labels`.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from whylabel.errors import UsageError
from whylabel.host.atomic import whole_file
from whylabel.host.terminal import json_text
from whylabel.text.spreadsheet import harmless
from whylabel.types import Prediction

if TYPE_CHECKING:
    from whylabel.prediction.card import ModelCard
    from whylabel.prediction.multi_label import MultiLabel

Write = Callable[[Prediction], None]
Opener = Callable[["ModelCard"], AbstractContextManager[Write]]


def read_lines() -> list[tuple[str, str]]:
    """Return (line number, text) of every line on stdin, UTF-8 whatever the locale.

    Bytes that are none become half surrogate pairs, so that their line fails alone.
    """
    lines = sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [(str(number), line.removesuffix("\r")) for number, line in enumerate(lines, start=1)]


def write_predictions(output: Path | None) -> Opener:
    """Return the writer for a path: JSONL on stdout without one, else by suffix.

    A file appears whole when all rows are written. Raises `UsageError` if the suffix is unknown, or no file can be
    written there.
    """
    if output is None:
        return lambda card: _jsonl(sys.stdout, card)
    writers = {".jsonl": _jsonl_file, ".csv": _csv_file, ".parquet": _parquet_file}
    writer = writers.get(output.suffix.lower())
    if writer is None:
        raise UsageError(
            f"Predictions cannot be written as {output.suffix or 'a file without suffix'!r}.",
            where=str(output),
            fix=f"name a file that ends in {', '.join(writers)}",
        )
    _require_writable(output)
    return lambda card: writer(output, card)


def _require_writable(output: Path) -> None:
    try:
        if output.is_dir():
            raise UsageError(
                "This is a folder, not a file.",
                where=f"--output {output}",
                fix=f"name a file in it: --output {output / 'predictions.jsonl'}",
            )
        # Missing folders are made when there is something to write.
        folder = next(parent for parent in output.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"No file can be written there: {error.strerror}.",
            where=f"--output {output}",
            fix="name a file in a folder that you may write to",
        ) from None


def _record(prediction: Prediction, card: ModelCard) -> dict[str, Any]:
    several = {} if card.multi_label is None else {"labels": _labels(prediction, card.multi_label)}
    record: dict[str, Any] = {
        "id": prediction.id,
        "label": prediction.label,
        **several,
        "probabilities": dict(zip(card.labels.names, prediction.probabilities, strict=False)),
        "reasoning": prediction.reasoning,
        "mode": prediction.mode,
        "status": prediction.status,
    }
    return {**record, "error": prediction.error} if prediction.error else record


def _labels(prediction: Prediction, multi_label: MultiLabel) -> list[str]:
    return list(multi_label.separator.split(prediction.label))


@contextmanager
def _jsonl(stream: IO[str], card: ModelCard) -> Iterator[Write]:
    def write(prediction: Prediction) -> None:
        stream.write(json_text(_record(prediction, card), encoding=getattr(stream, "encoding", None)) + "\n")
        stream.flush()

    yield write


@contextmanager
def _jsonl_file(path: Path, card: ModelCard) -> Iterator[Write]:
    with (
        whole_file(path) as aside,
        aside.open("w", encoding="utf-8") as stream,
        _jsonl(stream, card) as write,
    ):
        yield write


@contextmanager
def _csv_file(path: Path, card: ModelCard) -> Iterator[Write]:
    columns = ["id", "label", *(f"p({name})" for name in card.labels.names), "reasoning", "status", "error"]
    with whole_file(path) as aside, aside.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([harmless(name) for name in columns])

        def write(prediction: Prediction) -> None:
            chances = [f"{value:.6f}" for value in prediction.probabilities] or [""] * len(card.labels)
            texts = (prediction.reasoning or "", prediction.status, prediction.error or "")
            row = [harmless(prediction.id), harmless(prediction.label), *chances]
            table.writerow([*row, *(harmless(text) for text in texts)])

        yield write


@contextmanager
def _parquet_file(path: Path, card: ModelCard) -> Iterator[Write]:
    import pyarrow
    import pyarrow.parquet

    chances = pyarrow.struct([(name, pyarrow.float64()) for name in card.labels.names])
    text = pyarrow.string()
    schema = pyarrow.schema(
        [
            *(("id", text), ("label", text)),
            *((("labels", pyarrow.list_(text)),) if card.multi_label else ()),
            *(("probabilities", chances), ("reasoning", text)),
            *(("mode", text), ("status", text), ("error", text)),
        ]
    )
    rows: list[dict[str, Any]] = []
    with whole_file(path) as aside:
        yield lambda prediction: rows.append({"error": None, **_record(prediction, card)})
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), aside)
