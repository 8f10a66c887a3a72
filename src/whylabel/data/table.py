"""A table whose columns are not yet recognised: in memory, or read piece by piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from whylabel.data.cells import as_written
from whylabel.errors import DataError
from whylabel.text.words import is_broken

if TYPE_CHECKING:
    import pandas

PIECE_ROWS = 4096
"""About how many rows a stream holds at a time."""
HEAD_ROWS = 2 * PIECE_ROWS
"""How many of the first rows are used to recognise columns."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length, and where each row stood.

    `name` is what error messages call the table. `places` holds each row's 1-based line or row number.
    `class_names` gives, for integer columns that carry them, the name of 0, 1, 2, ...
    """

    name: str
    columns: Mapping[str, list[Any]]
    places: Sequence[int]
    unit: Literal["line", "row"] = "row"
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    def place(self, row: int) -> str:
        """Return where a row stood, as error messages say it: "data.csv, line 7"."""
        return f"{self.name}, {self.unit} {self.places[row]}"

    def column(self, name: str | None) -> list[Any]:
        """Return a column. If the table lacks it, or the name is None, all its cells are None."""
        cells = None if name is None else self.columns.get(name)
        return [None] * len(self) if cells is None else cells


Pieces = Callable[[Collection[str] | None], Iterator[Table]]
"""Yields a table piece by piece. Every call begins at the start of the table.

It may leave out columns other than those named (None: every column is wanted)."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A table that is read piece by piece, any number of times; `head` holds about its first `HEAD_ROWS` rows."""

    head: Table
    pieces: Pieces

    def whole(self) -> Table:
        """Read the table into memory."""
        return joined(self.pieces(None))


def stream(pieces: Pieces) -> Stream:
    """Read the first rows, and return a stream."""
    return Stream(joined(_first(pieces(None))), pieces)


def stream_of(table: Table) -> Stream:
    """Return a table in memory as a stream of one piece."""
    return Stream(table, lambda _columns: iter([table]))


def joined(pieces: Iterable[Table]) -> Table:
    """Return the pieces of a table as one table. A column that a piece lacks has None in its rows there.

    Raises `DataError` if a column's name is not readable as text.
    """
    parts = list(pieces)
    names = dict.fromkeys(name for part in parts for name in part.columns)
    broken = [name for name in names if is_broken(name)]
    if broken:
        raise DataError(
            f"Column names are not readable as text: {', '.join(map(repr, broken))}.",
            where=parts[0].name,
            fix="rename these columns",
        )
    if len(parts) == 1:
        return parts[0]
    columns = {name: [cell for part in parts for cell in part.column(name)] for name in names}
    places = [place for part in parts for place in part.places]
    return Table(parts[0].name, columns, places, parts[0].unit, parts[0].class_names)


def _first(pieces: Iterator[Table]) -> Iterator[Table]:
    rows = 0
    for piece in pieces:
        yield piece
        rows += len(piece)
        if rows >= HEAD_ROWS:
            return


def column_names(header: Sequence[object], where: str) -> list[str]:
    """Return the trimmed names of a header. Nameless columns are numbered from 1.

    Raises `DataError` if a name occurs twice.
    """
    names = [str(name).strip() or f"column {at}" for at, name in enumerate(header, start=1)]
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise DataError(
            f"Column names occur twice: {', '.join(map(repr, twice))}.",
            where=where,
            fix="give each column its own name in the header",
        )
    return names


def stream_of_frame(frame: pandas.DataFrame, name: str = "the DataFrame") -> Stream:
    """Return a pandas DataFrame as a stream. Raises `DataError` if it has no rows or a column twice."""
    names = column_names(list(frame.columns), name)
    if not len(frame):
        raise DataError("The DataFrame has no rows.", where=name, fix="pass labelled rows")

    def pieces(columns: Collection[str] | None) -> Iterator[Table]:
        wanted = [at for at, column in enumerate(names) if columns is None or column in columns]
        for start in range(0, len(frame), PIECE_ROWS):
            part = frame.iloc[start : start + PIECE_ROWS]
            content = {names[at]: _cells(part.iloc[:, at]) for at in wanted}
            yield Table(name, content, range(start + 1, start + len(part) + 1))

    return stream(pieces)


def _cells(column: pandas.Series) -> list[Any]:
    cells = column.tolist()
    return as_written(cells) if str(column.dtype) == "float32" else cells
