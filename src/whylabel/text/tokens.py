"""Token ids, 4 bytes each: a tuple of Python's own numbers takes ten times as much."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


class Tokens(Sequence[int]):
    """An immutable sequence of token ids that equals and hashes as the tuple with the same ids does."""

    __slots__ = ("_ids",)

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._ids: array[int] = ids._ids if isinstance(ids, Tokens) else array("i", ids)

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> Tokens: ...

    def __getitem__(self, place: int | slice) -> int | Tokens:
        return Tokens(self._ids[place]) if isinstance(place, slice) else self._ids[place]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __add__(self, other: Sequence[int]) -> Tokens:
        return Tokens([*self._ids, *other])

    def __radd__(self, other: Sequence[int]) -> Tokens:
        return Tokens([*other, *self._ids])

    def __mul__(self, times: int) -> Tokens:
        return Tokens(self._ids * times)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Tokens):
            return self._ids == other._ids
        return tuple(self._ids) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._ids))

    def __repr__(self) -> str:
        return repr(tuple(self._ids))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._ids, dtype=dtype or np.int32)
