"""Table files: CSV, TSV, JSON lines, JSON and Parquet, each refused with a clear error where it is broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from whylabel.data.delimited import read_csv, read_tsv
from whylabel.data.encoding import decoded_text, require_file, text_lines
from whylabel.data.parquet import read_parquet
from whylabel.data.table import PIECE_ROWS, Pieces, Stream, Table, joined, stream
from whylabel.errors import DataError
from whylabel.host.paths import expanded


def read_table(path: str | Path) -> Table:
    """Read one file into memory; its suffix decides the format.

    Raises `DataError` naming the file, and the line where there is one, if it cannot be read in full.
    """
    return joined(_pieces(expanded(path))(None))


def stream_table(path: str | Path) -> Stream:
    """Open one file to read it piece by piece; a JSON list alone is read as a whole.

    Raises `DataError` as `read_table` does: for the first rows at once, for later ones when they are read.
    """
    return stream(_pieces(expanded(path)))


def read_lines(path: str | Path) -> list[str]:
    """Return the lines of a plain text file without their ends. Raises `DataError` as `read_table` does."""
    path = expanded(path)
    require_file(path)
    lines = decoded_text(path).split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def is_table_file(path: Path) -> bool:
    """Return whether the suffix is one that `read_table` knows."""
    return path.suffix.lower() in _READERS


def formats() -> str:
    """Return the known suffixes for an error message."""
    return ", ".join(sorted(_READERS))


def _pieces(path: Path) -> Pieces:
    """Return what reads the file, its errors made ours; there is always a piece."""
    reader = _reader(path)

    def pieces(columns: Collection[str] | None) -> Iterator[Table]:
        rows = 0
        try:
            for piece in reader(path, columns):
                rows += len(piece)
                yield piece
        except OSError as error:
            problem = error.strerror or str(error)
            raise DataError(
                f"The file cannot be read: {problem}.", where=str(path), fix="check the path and its rights"
            ) from None
        if not rows:
            raise DataError("The file has no rows below its header.", where=str(path), fix="add rows to it")

    return pieces


def _reader(path: Path) -> _Reader:
    require_file(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is not None:
        return reader
    fixes = {
        ".gz": "unpack it first: gunzip FILE",
        ".zip": "unpack it first: unzip FILE",
        ".xlsx": "save the sheet as CSV (UTF-8)",
        ".xls": "save the sheet as CSV (UTF-8)",
    }
    raise DataError(
        f"Files of type {path.suffix or 'without suffix'!r} are not known. Known: {formats()}.",
        where=str(path),
        fix=fixes.get(path.suffix.lower(), "convert the file, or rename it to what it holds"),
    )


# -- JSON --------------------------------------------------------------------------------------------------


def _read_jsonl(path: Path, columns: Collection[str] | None) -> Iterator[Table]:
    objects = _objects(path)
    while read := list(islice(objects, PIECE_ROWS)):
        rows = [row for _, row in read]
        yield Table(str(path), _columns(rows, columns), [line for line, _ in read], "line")


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, object)."""
    # Lines end at line feeds alone: JSON lets U+2028 stand unescaped.
    for line, content in enumerate(text_lines(path, "\n"), start=1):
        if not content.strip():
            continue
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"Line {line} is not valid JSON: {error}.",
                where=f"{path}, line {line}",
                fix="write one JSON object a line",
            ) from None
        yield line, _json_object(value, f"{path}, line {line}")


def _read_json(path: Path, columns: Collection[str] | None) -> Iterator[Table]:
    text = decoded_text(path)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not text.lstrip().startswith("["):
            # Not one JSON value: then JSON lines under another name, which report their own bad line.
            del text
            yield from _read_jsonl(path, columns)
            return
        line = getattr(error, "lineno", 1)
        raise DataError(
            f"The file is not valid JSON: {error}.", where=f"{path}, line {line}", fix="write it again"
        ) from None
    if not isinstance(values, list):
        raise DataError(
            f"The file holds one JSON {type(values).__name__}, not a list of rows.",
            where=str(path),
            fix="write a list of objects, or one object a line (.jsonl)",
        )
    rows = [_json_object(value, f"{path}, row {row}") for row, value in enumerate(values, start=1)]
    yield Table(str(path), _columns(rows, columns), range(1, len(rows) + 1))


def _json_object(value: object, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise DataError(
        f"A row is a JSON object with a text and a label, got {json.dumps(value)[:60]}.",
        where=where,
        fix='write {"text": "...", "label": "..."}',
    )


def _columns(rows: Sequence[dict[str, Any]], wanted: Collection[str] | None) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row) if wanted is None else wanted
    return {name: [row.get(name) for row in rows] for name in names}


_Reader = Callable[[Path, Collection[str] | None], Iterator[Table]]
"""Yields the rows of a file in pieces; with or without the columns that are not wanted (None: all are)."""

_READERS: dict[str, _Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".parquet": read_parquet,
}
