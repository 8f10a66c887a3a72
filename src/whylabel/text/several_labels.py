"""Texts with several labels: how the labels of a text stand in one string.

`Example.label` holds all labels of a text, joined in the order of the label set (`joy, love`); of none, nothing.
So whatever takes a label for one string (stores, reasonings, files) needs to know nothing of this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whylabel.errors import LabelError
from whylabel.text.labels import LabelSet

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

SEPARATOR = ","


@dataclass(frozen=True, slots=True)
class Separator:
    """What stands between the labels of a text; no label may contain it. Blanks around it do not count."""

    text: str = SEPARATOR

    @property
    def core(self) -> str:
        """What labels are told apart by: the text without outer blanks, if it is more than blanks."""
        return self.text.strip() or self.text

    def check(self, names: Iterable[str]) -> None:
        """Raise `LabelError` if a label contains the separator: it could not be told from two."""
        for name in names:
            if self.core in name:
                raise LabelError(
                    f"Label {name!r} contains the separator {self.core!r} of labels.",
                    fix="set task.label_separator to what stands in no label, for example '|'",
                )

    def split(self, joined: str) -> tuple[str, ...]:
        """Return the labels in a string, trimmed; between two separators there is none."""
        return tuple(part.strip() for part in joined.split(self.core) if part.strip())

    def join(self, names: Iterable[str]) -> str:
        """Return the labels as one string."""
        core = self.core
        if core.isspace():
            return core.join(names)
        return (f"{core} " if core in ",;" else f" {core} ").join(names)

    def matrix(self, joined: Sequence[str], labels: LabelSet) -> NDArray[numpy.bool_]:
        """Return which labels each string holds, shape (strings, labels). Raises `LabelError` for a foreign one."""
        import numpy as np

        found = np.zeros((len(joined), len(labels)), dtype=bool)
        for row, label in enumerate(joined):
            for name in self.split(label):
                found[row, labels.index(name)] = True
        return found


def rarest(sets: Sequence[Sequence[str]], rows: Sequence[int]) -> list[str]:
    """Return of each set of labels the one that the fewest rows have; empty where there is none.

    `rows` says how many rows have each set. Of equally rare labels the first in the alphabet is taken.
    """
    counts: dict[str, int] = {}
    for names, number in zip(sets, rows, strict=True):
        for name in names:
            counts[name] = counts.get(name, 0) + number
    return [min(names, key=lambda name: (counts[name], name), default="") for names in sets]


def elements(cell: Any, separator: Separator) -> list[Any] | None:
    """Return the single labels of a cell, unread: of a list its items, of anything else the parts between separators.

    None where the cell is neither: an object, or bytes.
    """
    if isinstance(cell, (list, tuple)):
        return list(cell)
    if isinstance(cell, (set, frozenset)):
        return sorted(cell, key=str)
    if getattr(cell, "ndim", 0) == 1:
        return list(cell.tolist())
    if isinstance(cell, str):
        return list(separator.split(cell))
    return None if isinstance(cell, (dict, bytes, bytearray)) or getattr(cell, "ndim", 0) > 0 else [cell]
