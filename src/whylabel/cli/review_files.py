"""Export reasonings to files for people: CSV that is safe for spreadsheets, JSON lines, Parquet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from whylabel.data.writers import require_format, table_file, written_columns
from whylabel.host.takeover import check_file
from whylabel.reasonings.review import ReviewRow

_SCHEMA = {field.name: "number" if field.name == "margin" else "text" for field in fields(ReviewRow)}


def write_rows(path: Path, rows: Sequence[ReviewRow]) -> None:
    """Write the rows, completely or not at all; a link is followed.

    Raises `UsageError` if the suffix is unknown, or the file holds anything but exported reasonings.
    """
    require_format(path, "Reasonings")
    file = Path(os.path.realpath(path))
    require_format(file, "Reasonings")
    check_file(file, _is_exported, wanted="An export of reasonings", fix="name another file: --export FILE")
    with table_file(file, _SCHEMA) as write:
        for row in rows:
            write(asdict(row))


def _is_exported(file: Path) -> bool:
    """Return whether a file holds exported reasonings, judged by its first columns."""
    first = list(_SCHEMA)[:5]
    return written_columns(file)[: len(first)] == first
