"""CSV and TSV files, read piece by piece; every error names the line on which the record begins."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from whylabel.data.encoding import text_lines
from whylabel.data.table import PIECE_ROWS, Table, column_names
from whylabel.errors import DataError

DELIMITERS = ",;\t|"
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_QUOTES = (
    'put a field that holds the delimiter, a quote or a line break in "double quotes", '
    'and write each quote inside it twice ("")'
)


def read_csv(path: Path, _columns: Collection[str] | None) -> Iterator[Table]:
    """Yield a file with a header, its delimiter the one that `sep=` names, or that cuts the header most."""
    return _delimited(path, _delimiter(path))


def read_tsv(path: Path, _columns: Collection[str] | None) -> Iterator[Table]:
    """Yield a file with a header, with quotes that mean something or without."""
    return _delimited(path, "\t", _tsv_quoting(path))


def _tsv_quoting(path: Path) -> Any:
    """Return how a TSV file is quoted; only a look at all of it can tell.

    Many published TSV files know no quoting at all: a text may then begin with a lone quote, which, if it counts,
    swallows all rows up to the next one.
    """
    quoted, plain = _rows_read(path, csv.QUOTE_MINIMAL), _rows_read(path, csv.QUOTE_NONE)
    return csv.QUOTE_NONE if plain > quoted else csv.QUOTE_MINIMAL


def _rows_read(path: Path, quoting: Any) -> int:
    """Return how many rows a TSV file has by a quoting: -1 if one is not as wide as the header."""
    try:
        # Any line is a row of one field, those inside a text, too.
        return sum(len(piece) for piece in _delimited(path, "\t", quoting) if len(piece.columns) > 1)
    except DataError:
        return -1


def _delimiter(path: Path) -> str:
    def fields(delimiter: str) -> int:
        return len(next(csv.reader(_lines(path)[2], delimiter=delimiter), []))

    named = _lines(path)[1]
    with _long_fields():
        return named or max(DELIMITERS, key=fields)


def _lines(path: Path) -> tuple[int, str | None, Iterator[str]]:
    """Return how many lines stand before the header, the delimiter that Excel's `sep=;` names, and the rest."""
    named = None
    lines = text_lines(path, "")
    for before, line in enumerate(lines):
        if named is None and (match := _SEP.fullmatch(line)):
            named = match[1]
        elif line.strip(" \r\n"):
            return before, named, chain([line], lines)
    return 0, named, lines


def _delimited(path: Path, delimiter: str, quoting: Any = csv.QUOTE_MINIMAL) -> Iterator[Table]:
    records = _records(path, delimiter, quoting)
    with _long_fields():
        _, header = next(records, (0, []))
    names = column_names(header, str(path))
    while True:
        with _long_fields():
            read = list(islice(_rows(path, records, len(names), delimiter), PIECE_ROWS))
        if not read:
            return
        columns = {name: [fields[at] for _, fields in read] for at, name in enumerate(names)}
        yield Table(str(path), columns, [line for line, _ in read], "line")


def _rows(
    path: Path, records: Iterator[tuple[int, list[str]]], width: int, delimiter: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of every row. Raises `DataError` for one that is not as wide as the header."""
    for line, fields in records:
        if len(fields) == width:
            yield line, fields
        elif not fields and width == 1:
            yield line, [""]
        elif fields:
            raise DataError(
                f"The header has {width} fields, line {line} has {len(fields)} (delimiter {delimiter!r}).",
                where=f"{path}, line {line}",
                fix=_QUOTES,
            )


def _records(path: Path, delimiter: str, quoting: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which the record begins, fields) from the header on."""
    before, _, lines = _lines(path)
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    while True:
        line = before + reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"The record that begins on line {line} is not valid: {error}.",
                where=f"{path}, line {line}",
                fix=_QUOTES,
            ) from None
        yield line, fields


@contextmanager
def _long_fields() -> Iterator[None]:
    # The csv module's limit of 128 KiB a field is one for the whole process: lift it, then put it back.
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
