"""Labelled texts as a sequence: each row is read from disk when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import eq
from typing import TYPE_CHECKING, Any

from whylabel.data.cells import text_of
from whylabel.data.lazy import LazySequence
from whylabel.data.rows import Rows
from whylabel.data.table import Stream
from whylabel.errors import DataError
from whylabel.types import Example

if TYPE_CHECKING:
    from whylabel.data.split import Numbers


class Examples(LazySequence[Example]):
    """Some of the rows as examples, in their order. No text stays in memory. A slice is a tuple.

    Only rows that are trained on have the reasoning that they came with.
    """

    def __init__(
        self,
        rows: Rows,
        numbers: Numbers,
        *,
        trained_on: bool = False,
        streams: Mapping[str, Stream] | None = None,
        text_column: str | None = None,
    ) -> None:
        """`streams` are the splits that the rows were read from; without them, there are no further columns."""
        self._example = rows.train_example if trained_on else rows.example
        self._rows, self._numbers = rows, numbers
        self._streams, self._text_column = streams or {}, text_column

    def __len__(self) -> int:
        return len(self._numbers)

    def _at(self, place: int) -> Example:
        return self._example(int(self._numbers[place]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the tables that these rows come from, by the first rows of each."""
        return tuple(dict.fromkeys(name for _, stream in self._sources() for name in stream.head.columns))

    def cells(self, column: str) -> list[Any]:
        """Return the rows' cells in any column of the data, which is read again; None where a table lacks it.

        Raises `DataError` if the data has changed since the rows were read.
        """
        found: dict[int, Any] = {}
        wanted = set(self._numbers.tolist())
        for number, stream in self._sources():
            for piece in stream.pieces({name for name in (column, self._text_column) if name is not None}):
                texts = piece.column(self._text_column)
                for text, cell in zip(texts, piece.column(column), strict=True):
                    if number in wanted and text_of(text) == self._rows.spool[number][1]:
                        found[number] = cell
                    number += 1
        if len(found) < len(wanted):
            raise DataError(
                f"The data has changed since it was read: {len(wanted) - len(found):,} rows are not where they were.",
                where=", ".join(stream.head.name for _, stream in self._sources()),
                fix="do not change it while a run reads it, and run the same command again",
            )
        return [found[number] for number in self._numbers.tolist()]

    def _sources(self) -> list[tuple[int, Stream]]:
        """Return each table that some of the rows come from, with the number of its first row."""
        return [
            (numbers.start, self._streams[split])
            for split, numbers in self._rows.splits.items()
            if split in self._streams
            and ((self._numbers >= numbers.start) & (self._numbers < numbers.stop)).any()
        ]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} examples>"
