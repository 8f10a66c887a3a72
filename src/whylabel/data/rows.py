"""Rows with their places and problems; bad rows are refused or dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whylabel.data.labelling import Labelling
from whylabel.data.split import SplitKeys
from whylabel.data.spool import Spool
from whylabel.errors import DataError, LabelError, unknown_name
from whylabel.host.progress import say
from whylabel.recipe import DataConfig
from whylabel.text.alike import described, groups_alike
from whylabel.types import Example

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from whylabel.data.split import Numbers, Splits

PROBLEMS = {
    "missing_text": "without a text",
    "missing_label": "without a label",
    "broken_text": "whose text is not readable as text",
    "several_labels": "whose label is not one value",
    "unknown_label": "with a label outside the label set",
    "duplicate_id": "with an id that an earlier row has",
    "broken_label": "whose label is not readable as text",
    "broken_id": "whose id is not readable as text",
}
"""Why a row cannot be used, as error messages say it."""

DROPPABLE = frozenset({"missing_text", "missing_label", "broken_text", "broken_label", "broken_id"})
"""Problems whose rows `data.bad_rows=drop` leaves out; the others mean that the data contradicts itself."""

PROBLEM_BITS = {kind: 1 << place for place, kind in enumerate(PROBLEMS)}
"""The bit of each problem: one byte holds all problems of a row."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was read: `problems` holds keys of `PROBLEMS`."""

    place: str
    id: str
    text: str
    label: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """All rows of all splits, good or bad, numbered from 0 through the splits.

    `spool` holds each row's id (its own, or the hash of its text), text, place, and the reasoning if it came with
    one; the arrays take a few bytes a row.
    """

    splits: Mapping[str, range]
    spool: Spool
    keys: SplitKeys
    labels: NDArray[numpy.int32]
    """Each row's label, as its place in `label_names`."""
    label_names: tuple[str, ...]
    """All labels as rows hold them: several labels of a row are one joined string."""
    labelling: Labelling
    problems: NDArray[numpy.uint8]
    """`PROBLEM_BITS` of each row."""
    repeats: NDArray[numpy.int32]
    """For rows without an id: 1 for the first row with a text, 2 for the next one, ...; 0 for rows with an id."""
    where: Mapping[str, str]
    """By split, what an error message says before a row's place: "data.csv, line"."""
    known: tuple[str, ...] | None
    """The closed label set where one is known."""
    inferred: dict[str, str]
    with_line_breaks: Sequence[int] = ()
    """The rows whose text has line breaks."""
    with_reasoning: Sequence[int] = ()
    """The rows that came with a reasoning."""
    unreadable_reasonings: Sequence[int] = ()
    """The rows that have something else in place of a reasoning: a number, a list, broken characters."""
    set_aside: Mapping[str, str] = field(default_factory=dict)
    """The splits without labels, and in words what is in place of their labels. Their rows have no problems."""
    rewritten: Mapping[str, str] = field(default_factory=dict)
    """The labels that are read without their decimal places, as they are written and as they are read."""

    def __len__(self) -> int:
        return len(self.spool)

    def usable(self) -> Splits:
        """Return the rows without problems, by split. A split that is set aside is left out."""
        import numpy

        return {
            split: numpy.flatnonzero(self.problems[numbers.start : numbers.stop] == 0) + numbers.start
            for split, numbers in self.splits.items()
            if split not in self.set_aside
        }

    def with_problems(self, kinds: Iterable[str]) -> Numbers:
        """Return the rows that have at least one of these problems."""
        import numpy

        return numpy.flatnonzero(self.problems & sum(PROBLEM_BITS[kind] for kind in kinds))

    def distinct_labels(self, numbers: Numbers) -> list[str]:
        """Return the distinct labels of some rows; rows with several labels add each of them."""
        import numpy

        found = [self.label_names[place] for place in numpy.unique(self.labels[numbers]).tolist()]
        return list(dict.fromkeys(name for label in found for name in self.labelling.split(label)))

    def unknown(self, label: str) -> list[str]:
        """Return which labels in a row's label are outside the closed set."""
        return [name for name in self.labelling.split(label) if name not in (self.known or ())]

    def example(self, number: int) -> Example:
        """Return a row as an example, without a reasoning."""
        row_id, text, *_ = self.spool[number]
        row_id = numbered_id(row_id, self.repeats[number])
        return Example(row_id, text, self.label_names[self.labels[number]])

    def train_example(self, number: int) -> Example:
        """Return a row as an example, with the reasoning that it came with."""
        row_id, text, _, *reasoning = self.spool[number]
        row_id = numbered_id(row_id, self.repeats[number])
        return Example(row_id, text, self.label_names[self.labels[number]], *reasoning)

    def row(self, number: int) -> Row:
        """Return a row with its place and its problems."""
        example = self.example(number)
        split = next(split for split, numbers in self.splits.items() if number in numbers)
        place = f"{self.where[split]} {self.spool[number][2]}"
        problems = tuple(kind for kind, bit in PROBLEM_BITS.items() if bit & int(self.problems[number]))
        return Row(place, example.id, example.text, example.label, problems)


def numbered_id(row_id: str, repeat: int) -> str:
    """Return an id as it is for its first row, with -2, -3, ... for later rows."""
    return row_id if repeat < 2 else f"{row_id}-{repeat}"


def refuse_bad_rows(rows: Rows, config: DataConfig) -> dict[str, str]:
    """Raise for rows that cannot be used, or, with `data.bad_rows=drop`, say which ones are left out.

    Returns what to note of them. Raises `LabelError` for labels outside the set, else `DataError`.
    """
    import numpy

    several = rows.with_problems(["several_labels"])
    if len(several):
        raise LabelError(
            f"{len(several)} of {len(rows)} rows {rows.labelling.refused}.",
            where=places(rows, several),
            fix=rows.labelling.fix,
        )
    unknown = rows.with_problems(["unknown_label"])
    if len(unknown) and rows.known is not None:
        first = rows.row(int(unknown[0]))
        more = f" {len(unknown)} rows have such labels." if len(unknown) > 1 else ""
        name = rows.unknown(first.label)[0]
        raise LabelError(
            unknown_name("label", name, rows.known) + _alike(name, rows.known) + more,
            where=places(rows, unknown),
            fix="correct the rows, or add the label to task.labels",
        )
    bad = rows.with_problems(DROPPABLE)
    duplicates = numpy.setdiff1d(rows.with_problems(["duplicate_id"]), bad)
    if len(duplicates):
        raise DataError(
            f"{len(duplicates)} rows have an id that an earlier row has.",
            where=places(rows, duplicates),
            fix="make the ids unique, or name another column: data.id_column",
        )
    if not len(bad):
        return {}
    counts = _described(rows, bad)
    if config.bad_rows == "error":
        raise DataError(
            f"{len(bad)} of {len(rows)} rows cannot be used: {counts}.",
            where=places(rows, bad),
            fix="mend them, or leave them out: data.bad_rows=drop",
        )
    say(f"Left out {len(bad)} of {len(rows)} rows: {counts} ({places(rows, bad)}).")
    return {"bad_rows": f"{len(bad)} of {len(rows)} left out: {counts}"}


def _alike(name: str, known: Sequence[str]) -> str:
    """Return by what an unknown label differs from a known one, if nobody may see it."""
    found = next(iter(groups_alike([*known, name])), ())
    return f" {described(found)}." if name in found else ""


def _described(rows: Rows, bad: Numbers) -> str:
    """Return how many rows have which problem: "3 without a label, 1 without a text"."""
    counts = {kind: int((rows.problems[bad] & bit).astype(bool).sum()) for kind, bit in PROBLEM_BITS.items()}
    return ", ".join(f"{count} {PROBLEMS[kind]}" for kind, count in counts.items() if count)


def places(rows: Rows, numbers: Numbers) -> str:
    """Return where the first of some rows stand, and how many more there are."""
    shown = [rows.row(number) for number in numbers[:_SHOWN].tolist()]
    more = f"; and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return "; ".join(f"{row.place} (id {row.id})" for row in shown) + more
