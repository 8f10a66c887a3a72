"""Reads CSV and TSV files piece by piece. Every error names the line on which the record begins."""

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
    """Yield a file with a header. The delimiter is that of `sep=`, or the one with the most header fields."""
    return _delimited(path, _delimiter(path))


def read_tsv(path: Path, _columns: Collection[str] | None) -> Iterator[Table]:
    """Yield a file with a header, whether it uses quoting or not."""
    return _delimited(path, "\t", _tsv_quoting(path))


def _tsv_quoting(path: Path) -> Any:
    """Return how a TSV file is quoted. This reads the whole file.

    Many published TSV files have no quoting at all. A text in them may begin with a quote; if it were taken for the
    start of a quoted field, that field would contain all rows up to the next quote.
    """
    quoted, plain = _rows_read(path, csv.QUOTE_MINIMAL), _rows_read(path, csv.QUOTE_NONE)
    return csv.QUOTE_NONE if plain > quoted else csv.QUOTE_MINIMAL


def _rows_read(path: Path, quoting: Any) -> int:
    """Return how many rows a TSV file has with a quoting, or -1 if a row is not as wide as the header."""
    try:
        # With one column any line is a row, even a line inside a text, so such pieces do not count.
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
    """Return the number of lines before the header, the delimiter that Excel's `sep=;` names, and the other lines."""
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
    # The csv module's limit of 128 KiB a field holds for the whole process, so it is lifted and then set again.
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
