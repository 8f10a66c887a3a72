"""Texts with several labels: the labels of a text as one string.

`Example.label` contains all labels of a text, joined in the order of the label set (`joy, love`). It is empty if no
label applies. So code that handles a label as one string (stores, reasonings, files) does not need this module.
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
    """The string between the labels of a text; no label may contain it. Blanks around it are ignored."""

    text: str = SEPARATOR

    @property
    def core(self) -> str:
        """The separator without outer blanks; unchanged if it consists of blanks."""
        return self.text.strip() or self.text

    def check(self, names: Iterable[str]) -> None:
        """Raise `LabelError` if a label contains the separator: it would be read as two labels."""
        for name in names:
            if self.core in name:
                raise LabelError(
                    f"Label {name!r} contains the separator {self.core!r}.",
                    fix="set task.label_separator to a string that no label contains, for example '|'",
                )

    def split(self, joined: str) -> tuple[str, ...]:
        """Return the labels in a string, trimmed, without empty ones."""
        return tuple(part.strip() for part in joined.split(self.core) if part.strip())

    def join(self, names: Iterable[str]) -> str:
        """Return the labels as one string."""
        core = self.core
        if core.isspace():
            return core.join(names)
        return (f"{core} " if core in ",;" else f" {core} ").join(names)

    def matrix(self, joined: Sequence[str], labels: LabelSet) -> NDArray[numpy.bool_]:
        """Return which labels each string contains, shape (strings, labels). Raises `LabelError` if unknown."""
        import numpy as np

        found = np.zeros((len(joined), len(labels)), dtype=bool)
        for row, label in enumerate(joined):
            for name in self.split(label):
                found[row, labels.index(name)] = True
        return found


def rarest(sets: Sequence[Sequence[str]], rows: Sequence[int]) -> list[str]:
    """Return the rarest label of each set of labels; an empty string for an empty set.

    `rows` is the number of rows with each set. Of equally rare labels, the first in alphabetical order is returned.
    """
    counts: dict[str, int] = {}
    for names, number in zip(sets, rows, strict=True):
        for name in names:
            counts[name] = counts.get(name, 0) + number
    return [min(names, key=lambda name: (counts[name], name), default="") for names in sets]


def elements(cell: Any, separator: Separator) -> list[Any] | None:
    """Return the single labels of a cell, not yet converted: the items of a list, or the parts between separators.

    Returns None if the cell cannot contain labels (an object or bytes).
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
