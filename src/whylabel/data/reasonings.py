"""The reasonings that rows come with: which of them count, and what cannot be one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Literal

from whylabel.data.rows import Rows, places
from whylabel.errors import DataError
from whylabel.host.progress import say
from whylabel.types import Example

if TYPE_CHECKING:
    from whylabel.data.split import Numbers, Splits

_LONGEST_SHOWN = 1000
NOT_READABLE = "have a reasoning that is not readable as text"
MEND = "write a text, or leave the cell empty; or let the reasoner write these: data.bad_rows=drop"


@dataclass(frozen=True, slots=True)
class OwnReasonings:
    """The rows of the splits that came with a reasoning, by number. Those of validation and test are not used."""

    train_rows: int
    own: Numbers
    unreadable: Numbers
    """Train rows with something else in its place."""
    elsewhere: int
    """How many rows of validation and test came with one."""

    @classmethod
    def of(cls, rows: Rows, splits: Splits) -> OwnReasonings:
        """Return what the rows of the splits came with."""
        train = splits["train"]
        others = sum(
            len(_both(numbers, rows.with_reasoning)) for split, numbers in splits.items() if split != "train"
        )
        own, unreadable = _both(train, rows.with_reasoning), _both(train, rows.unreadable_reasonings)
        return cls(len(train), own, unreadable, others)

    def __str__(self) -> str:
        """Return in words how many there are."""
        more = f" ({self.elsewhere:,} more in validation or test are not used)" if self.elsewhere else ""
        return f"{len(self.own):,} of {self.train_rows:,} train rows{more}"


def own_reasonings(rows: Rows, splits: Splits, column: str, bad_rows: Literal["error", "drop"]) -> str:
    """Return in words how many train rows came with a reasoning.

    Raises `DataError` if a train row has anything but a text in place of one; with `data.bad_rows=drop` such a cell
    counts as empty, and is said.
    """
    found = OwnReasonings.of(rows, splits)
    if len(found.unreadable):
        count, where = len(found.unreadable), places(rows, found.unreadable)
        if bad_rows == "error":
            raise DataError(
                f"{count} of {found.train_rows} train rows {NOT_READABLE}.",
                where=f"column {column!r}: {where}",
                fix=MEND,
            )
        say(f"Took {count} cells of the column {column!r} for empty: not readable as text ({where}).")
    return str(found)


def examples_to_show(rows: Iterable[Example], count: int) -> tuple[Example, ...]:
    """Return up to `count` rows that came with a reasoning: the first of each label in turn.

    Texts of more than a thousand characters are too long to be shown with every row.
    """
    by_label: dict[str, list[Example]] = {}
    for row in rows:
        if row.reasoning and len(row.text) <= _LONGEST_SHOWN:
            found = by_label.setdefault(row.label, [])
            if len(found) < count:
                found.append(row)
    turns = zip_longest(*by_label.values())
    return tuple(islice((row for turn in turns for row in turn if row is not None), count))


def _both(numbers: Numbers, others: Sequence[int]) -> Numbers:
    import numpy

    return numpy.intersect1d(numbers, numpy.array(others, dtype=numpy.int64))
