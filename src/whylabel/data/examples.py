"""Labelled texts as a sequence: each row is read from disk when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import eq
from typing import TYPE_CHECKING, overload

from whylabel.data.rows import Rows
from whylabel.types import Example

if TYPE_CHECKING:
    from whylabel.data.split import Numbers


class Examples(Sequence[Example]):
    """Some of the rows as examples, in their order. No text stays in memory. A slice is a tuple.

    Only rows that are trained on have the reasoning that they came with.
    """

    def __init__(self, rows: Rows, numbers: Numbers, *, trained_on: bool = False) -> None:
        self._example = rows.train_example if trained_on else rows.example
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Example: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Example, ...]: ...

    def __getitem__(self, place: int | slice) -> Example | tuple[Example, ...]:
        if isinstance(place, slice):
            return tuple(map(self._example, self._numbers[place].tolist()))
        return self._example(int(self._numbers[place]))

    def __iter__(self) -> Iterator[Example]:
        return map(self._example, self._numbers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} examples>"
