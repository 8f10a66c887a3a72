"""Files of reasonings for people: CSV safe for spreadsheets, JSON lines, Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from whylabel.data.writers import require_format, table_file
from whylabel.reasonings.review import ReviewRow

_SCHEMA = {field.name: "number" if field.name == "margin" else "text" for field in fields(ReviewRow)}


def write_rows(path: Path, rows: Sequence[ReviewRow]) -> None:
    """Write the rows, whole or not at all. Raises `UsageError` if the suffix is unknown."""
    require_format(path, "Reasonings")
    with table_file(path, _SCHEMA) as write:
        for row in rows:
            write(asdict(row))
