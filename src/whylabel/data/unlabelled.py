"""Splits without labels: their labels are withheld or were never given. They are set aside, and said aloud."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whylabel.data.cells import integer_of, is_missing

if TYPE_CHECKING:
    from whylabel.data.labelling import Labelling
    from whylabel.data.rows import Rows

_WITHHELD = -1


def unlabelled_splits(
    cells: Mapping[str, Sequence[Any]], kind: Labelling, known: Collection[str], *, named: bool
) -> dict[str, str]:
    """Return the splits without labels, except train, each with what its label cells hold.

    `cells` are the distinct label cells of each split, `known` the labels of a closed set. A label -1 is how GLUE and
    others write that a label is withheld. It is a label if it is known, or if train has it and integers have no names
    in the data (`named`).
    """
    may_be_label = str(_WITHHELD) in known or (not named and _has(cells["train"], kind))
    found = {}
    for split, held in cells.items():
        labels = [value for cell in held for value in kind.values(cell) if not is_missing(value)]
        nothing_applies = any(isinstance(cell, tuple) and not cell for cell in held)
        if split == "train" or nothing_applies or any(isinstance(cell, (list, dict)) for cell in held):
            continue
        if not labels:
            found[split] = "has no labels"
        elif not may_be_label and all(integer_of(label) == _WITHHELD for label in labels):
            found[split] = f"has no labels: all of them are {_WITHHELD}"
    return found


def _has(cells: Iterable[Any], kind: Labelling) -> bool:
    return any(integer_of(value) == _WITHHELD for cell in cells for value in kind.values(cell))


def described(rows: Rows, split: str) -> str:
    """Return what is said of a split that is set aside, without a full stop."""
    count = len(rows.splits[split])
    its = f"its {count:,} rows are" if count > 1 else "its row is"
    table = rows.where[split].rpartition(",")[0]
    what = f"The {split} split ({table}) {rows.set_aside[split]}"
    return f"{what}; {its} set aside, and {split} rows are cut from train"
