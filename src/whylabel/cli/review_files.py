"""Files for people: reasonings to look at, and rows to write a reasoning for. CSV that is safe for spreadsheets, JSON
lines, Parquet.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from whylabel.data.writers import require_format, table_file, written_columns
from whylabel.errors import UsageError
from whylabel.host.takeover import check_file
from whylabel.reasonings.review import ReviewRow, seen_hash
from whylabel.text.prompts import NO_LABEL, question_about
from whylabel.types import Example

_SEED_COLUMNS = ("id", "text", "label", "reasoning", "question", "answer", "reasoning_hash")
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


def write_seeds(path: Path, rows: Sequence[Example], question: str) -> None:
    """Write rows with an empty column `reasoning` for people to fill.

    `question` and `answer` make the filled file reasoning data, `reasoning_hash` lets its reasonings be imported.
    Raises `UsageError` if the suffix is unknown, or the file exists: people may have written in it.
    """
    require_format(path, "Rows")
    if path.exists() or path.is_symlink():
        raise UsageError(
            "The file exists: somebody may have written reasonings in it.",
            where=str(path),
            fix="name another file: --export FILE",
        )
    with table_file(path, dict.fromkeys(_SEED_COLUMNS, "text")) as write:
        for row in rows:
            asked, answer = question_about(row.text, question), row.label or NO_LABEL
            cells = (row.id, row.text, row.label, "", asked, answer, seen_hash(row, ""))
            write(dict(zip(_SEED_COLUMNS, cells, strict=True)))


def _is_exported(file: Path) -> bool:
    """Return whether a file holds exported reasonings, judged by its first columns."""
    first = list(_SCHEMA)[:5]
    return written_columns(file)[: len(first)] == first
