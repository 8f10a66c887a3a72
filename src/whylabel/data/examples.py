"""Labelled texts as a sequence that is read from disk where it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import eq
from typing import TYPE_CHECKING, overload

from whylabel.data.rows import Rows
from whylabel.types import Example

if TYPE_CHECKING:
    from whylabel.data.split import Numbers

_ROWS_AT_ONCE = 1024


class Examples(Sequence[Example]):
    """Some of the rows as examples, none of which stay in memory; a slice is a tuple, as a tuple's is.

    Neighbours are cheap. A row far away from the last one costs the reading of a thousand.
    """

    def __init__(self, rows: Rows, numbers: Numbers) -> None:
        self._rows = rows
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Example: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Example, ...]: ...

    def __getitem__(self, place: int | slice) -> Example | tuple[Example, ...]:
        if isinstance(place, slice):
            return tuple(map(self._rows.example, self._numbers[place].tolist()))
        return self._rows.example(int(self._numbers[place]))

    def __iter__(self) -> Iterator[Example]:
        for start in range(0, len(self), _ROWS_AT_ONCE):
            yield from self[start : start + _ROWS_AT_ONCE]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} examples>"
