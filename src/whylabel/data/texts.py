"""Texts to predict, with the other columns of their rows: read piece by piece, as often as needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from whylabel.data.cells import is_missing, is_scalar, text_of
from whylabel.data.collect import row_ids
from whylabel.data.columns import recognise_id_column, recognise_text_column, require_column
from whylabel.data.readers import read_lines, stream_table
from whylabel.data.table import Stream, Table, stream_of
from whylabel.errors import DataError
from whylabel.host.paths import expanded
from whylabel.text.words import is_broken


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text to predict. The text is None if it or its id is not readable as text; such ids are escaped.

    `cells` are the row's cells of all columns, in the order of `Texts.columns`.
    """

    id: str
    text: str | None
    cells: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen column, and the reason in words. `name` is None if there is no such column."""

    name: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Texts:
    """The rows of a file, in its order; `len` counts them. Only their number stays in memory."""

    stream: Stream
    text_column: Choice
    id_column: Choice
    columns: tuple[str, ...]
    """All columns in order; columns that only later rows have come last."""
    all_have_ids: bool
    """Whether every row has an id of its own; the others have a hash of their text."""
    digest: str
    """A sha256 in hex over all cells."""
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        """Yield id and text of every row."""
        return ((row.id, row.text) for rows in self.pieces() for row in rows)

    @property
    def name(self) -> str:
        """The file's name in error messages."""
        return self.stream.head.name

    def pieces(self) -> Iterator[list[TextRow]]:
        """Yield the rows, some thousands at a time. Raises `DataError` if the file has changed."""
        reading = _RowReader(self.text_column, self.id_column)
        for table in self.stream.pieces(None):
            rows = reading.rows(table, self.columns)
            if reading.count > self.count:
                break
            yield rows
        if (reading.count, reading.digest()) != (self.count, self.digest):
            raise DataError(
                "The file has changed while it was read.",
                where=self.name,
                fix="do not change it while its rows are predicted, and run the same command again",
            )


class _RowReader:
    """Reads the rows from the first one on; counts them and hashes their cells."""

    def __init__(self, text: Choice, identifier: Choice) -> None:
        self._text = text.name
        self._id = identifier.name
        self._sha = hashlib.sha256()
        self._hashes: dict[str, int] = {}
        self.count = 0

    def rows(self, table: Table, columns: Sequence[str]) -> list[TextRow]:
        """Return the rows of the next piece, with their cells in these columns."""
        given, own_ids = table.column(self._text), table.column(self._id)
        read = [text_of(cell) for cell in given]
        ids = row_ids(table, self._id, read, self._hashes)
        every = _across([table.column(name) for name in columns], len(table))
        rows = []
        for row_id, cell, text, own_id, cells in zip(ids, given, read, own_ids, every, strict=True):
            readable = is_scalar(cell) and not is_broken(text + text_of(own_id))
            rows.append(TextRow(row_id, text if readable else None, cells))
        self._sha.update(repr(list(table.columns)).encode("utf-8", "surrogatepass"))
        for cells in _across(list(table.columns.values()), len(table)):
            self._sha.update(repr(cells).encode("utf-8", "surrogatepass"))
        self.count += len(rows)
        return rows

    def digest(self) -> str:
        """Return the hash of the rows so far."""
        return self._sha.hexdigest()


def _across(columns: Sequence[Sequence[Any]], rows: int) -> Iterable[tuple[Any, ...]]:
    return zip(*columns, strict=True) if columns else repeat((), rows)


def load_texts(
    path: str | Path,
    *,
    text_column: str | None = None,
    id_column: str | None = None,
    trained_text: str | None = None,
    trained_id: str | None = None,
) -> Texts:
    """Return the rows of a file to predict; labels may be absent, blank texts stay. All rows are read once.

    The user names `text_column` and `id_column`. `trained_text` and `trained_id` are the columns that the model was
    trained on; they are used if the file has them. A `.txt` file has one text per line. Raises
    `DataError` if the file cannot be read, a named column is missing, the text column is not clear or an id occurs
    twice.
    """
    path = expanded(path)
    if path.suffix.lower() == ".txt":
        lines = read_lines(path)
        plain = Table(str(path), {"text": list(lines)}, range(1, len(lines) + 1), "line")
        stream, trained_text, trained_id = stream_of(plain), None, None
    else:
        stream = stream_table(path)
    head = stream.head
    for name, setting in ((text_column, "--text-column"), (id_column, "--id-column")):
        if name is not None:
            require_column(head, name, setting)
    text = _text_column(head, text_column, trained_text)
    return _counted(stream, text, _id_column(head, id_column, trained_id, text))


def texts_of_lines(name: str, lines: Sequence[str]) -> Texts:
    """Return lines as rows with the columns `id`, their numbers from 1, and `text`."""
    numbers = [str(number) for number in range(1, len(lines) + 1)]
    table = Table(name, {"id": numbers, "text": list(lines)}, range(1, len(lines) + 1), "line")
    return _counted(stream_of(table), Choice("text", "the line"), Choice("id", "its number"))


def _text_column(head: Table, named: str | None, trained: str | None) -> Choice:
    if named is not None:
        return Choice(named, "named with --text-column")
    if trained is not None and trained in head.columns:
        return Choice(trained, "the model was trained on it")
    lacking = (
        "" if trained is None else f", because the file lacks {trained!r}, which the model was trained on"
    )
    return Choice(recognise_text_column(head), f"recognised{lacking}")


def _id_column(head: Table, named: str | None, trained: str | None, text: Choice) -> Choice:
    if named is not None:
        return Choice(named, "named with --id-column")
    if trained is not None and trained in head.columns and trained != text.name:
        return Choice(trained, "the training data had it")
    found = recognise_id_column(head, (text.name or "",))
    return Choice(
        found, "recognised" if found else "there is no column of ids, so hashes of the texts are used"
    )


def _counted(stream: Stream, text: Choice, identifier: Choice) -> Texts:
    """Return the rows of a stream after one pass over them."""
    reading = _RowReader(text, identifier)
    columns: dict[str, None] = {}
    first: dict[str, int] = {}
    all_have_ids = identifier.name is not None
    for table in stream.pieces(None):
        columns |= dict.fromkeys(table.columns)
        all_have_ids = all_have_ids and not any(map(is_missing, table.column(identifier.name)))
        for row, place in zip(reading.rows(table, ()), table.places, strict=True):
            earlier = first.setdefault(row.id, place)
            if earlier != place:
                raise DataError(
                    f"The id {row.id!r} occurs twice.",
                    where=f"{table.name}, {table.unit} {earlier} and {table.unit} {place}",
                    fix="make the ids unique, or name another column: --id-column",
                )
    return Texts(stream, text, identifier, tuple(columns), all_have_ids, reading.digest(), reading.count)
