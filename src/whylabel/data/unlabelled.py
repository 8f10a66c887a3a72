"""Splits without labels: their labels are withheld or were never given. They are set aside, and said aloud."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whylabel.data.cells import PLACEHOLDERS, integer_of, is_missing

if TYPE_CHECKING:
    from whylabel.data.labelling import Labelling
    from whylabel.data.rows import Rows

_WITHHELD = (-1, -100)
_SHOWN = 3


def unlabelled_splits(
    cells: Mapping[str, Sequence[Any]], kind: Labelling, known: Collection[str], *, named: bool
) -> dict[str, str]:
    """Return the splits without labels, except train, each with what its label cells hold.

    `cells` are the distinct label cells of each split, `known` the labels of a closed set. -1 is how GLUE and others
    write that a label is withheld. It is a label if it is known, or if train has it and integers have no names in the
    data (`named`). The same holds for -100, and for words such as `nan` and `unknown`.
    """
    of_train = set() if named else set(map(_name, _labels(cells["train"], kind)))
    found = {}
    for split, held in cells.items():
        if split == "train" or any(isinstance(cell, (list, dict)) or _is_empty(cell) for cell in held):
            continue
        labels = _labels(held, kind)
        given = list(dict.fromkeys(map(_name, labels)))
        if not labels:
            found[split] = "has no labels"
        elif all(map(_is_withheld, labels)) and not {*of_train, *known}.intersection(given):
            found[split] = f"has no labels: all of them are {' or '.join(given[:_SHOWN])}"
    return found


def _labels(cells: Iterable[Any], kind: Labelling) -> list[Any]:
    return [value for cell in cells for value in kind.values(cell) if not is_missing(value)]


def _is_empty(cell: Any) -> bool:
    """Return whether a cell says that no label applies."""
    return isinstance(cell, tuple) and not cell


def _name(label: Any) -> str:
    number = integer_of(label)
    return str(label).strip() if number is None else str(number)


def _is_withheld(label: Any) -> bool:
    return integer_of(label) in _WITHHELD or str(label).strip().casefold() in PLACEHOLDERS


def described(rows: Rows, split: str) -> str:
    """Return what is said of a split that is set aside, without a full stop."""
    count = len(rows.splits[split])
    its = f"its {count:,} rows are" if count > 1 else "its row is"
    table = rows.where[split].rpartition(",")[0]
    what = f"The {split} split ({table}) {rows.set_aside[split]}"
    return f"{what}; {its} set aside, and {split} rows are cut from train"
