"""Files of reasonings for people: CSV safe for spreadsheets, JSON lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from whylabel.errors import UsageError
from whylabel.host.atomic import whole_file
from whylabel.reasonings.review import ReviewRow
from whylabel.text.spreadsheet import harmless

_COLUMNS = tuple(field.name for field in fields(ReviewRow))


def write_rows(path: Path, rows: Sequence[ReviewRow]) -> None:
    """Write the rows, whole or not at all. Raises `UsageError` if the suffix is unknown."""
    writers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise UsageError(
            f"Reasonings cannot be written as {path.suffix or 'a file without suffix'!r}.",
            where=str(path),
            fix=f"name a file that ends in {', '.join(writers)}",
        )
    with whole_file(path) as aside:
        writer(aside, rows)


def _csv(path: Path, rows: Sequence[ReviewRow]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(_COLUMNS)
        for row in rows:
            cells = asdict(row).values()
            table.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in cells])


def _jsonl(path: Path, rows: Sequence[ReviewRow]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def _parquet(path: Path, rows: Sequence[ReviewRow]) -> None:
    import pyarrow
    import pyarrow.parquet

    types = {"margin": pyarrow.float64()}
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in _COLUMNS])
    table = pyarrow.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    pyarrow.parquet.write_table(table, path)
