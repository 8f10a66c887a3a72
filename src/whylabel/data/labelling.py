"""The two kinds of label cells: one label a text, or several labels. All else about rows is the same for both."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from whylabel.data.cells import LabelReader, is_missing, is_scalar
from whylabel.data.list_cells import bare_lists, is_interval, labels_of_object, parsed
from whylabel.recipe import TaskConfig
from whylabel.text.several_labels import Separator, elements, rarest
from whylabel.text.words import is_broken


class OneLabel:
    """A cell is a label; a list or an object is refused."""

    refused = "have a list or an object as their label"
    fix = (
        "give each text exactly one label, set task.type: multi_label if it may have several, "
        "or name another column: data.label_column; a label that only looks like a list belongs in task.labels"
    )

    def kept(self, cell: Any) -> Any:
        """Return a cell as it is kept until all cells are known."""
        return cell if is_scalar(cell) else []

    def settled(self, cells: Sequence[Any], declared: Collection[str]) -> list[Any]:
        """Return the kept cells, now that all are known. Texts that spell a list or an object become empty lists.

        A label of the closed set `declared` and an interval (`[0, 10]`) are no lists.
        """
        texts = _texts_of(cells)
        found = {text: parsed(text) for text in texts}
        lists = {text for text, value in found.items() if value is not None}
        if not any(found.values()) and bare_lists(texts):
            lists = set(texts)
        elif all(is_interval(found[text]) for text in lists):
            lists = set()
        lists -= {text for text in lists if text.strip() in declared}
        return [[] if isinstance(cell, str) and cell in lists else cell for cell in cells]

    def values(self, cell: Any) -> list[Any]:
        """Return the single labels in a kept cell, unread."""
        return [cell]

    def read(self, cell: Any, reader: LabelReader) -> tuple[str, str | None]:
        """Return the label of a kept cell, and the key of its problem."""
        if not is_scalar(cell):
            return "", "several_labels"
        label = reader.read(cell)
        if label is None:
            return "", "missing_label"
        if is_broken(label):
            return "", "broken_label"
        known = reader.known is None or label in reader.known
        return label, None if known else "unknown_label"

    def split(self, label: str) -> tuple[str, ...]:
        """Return the labels in a label that was read."""
        return (label,)

    def strata(self, labels: Sequence[str], rows: Sequence[int]) -> Sequence[str]:
        """Return the stratum of each label; `rows` says how many rows have it."""
        return labels


@dataclass(frozen=True, slots=True)
class SeveralLabels:
    """A cell is a list of labels, or a string of them with separators. An empty list means that no label applies."""

    separator: Separator

    refused = "have an object, or a list in a list, as their labels"
    fix = (
        "write a list of labels, an object with true or false for each label, "
        "or one string with task.label_separator between them"
    )

    def kept(self, cell: Any) -> Any:
        """Return a cell as it is kept until all cells are known. A list becomes a tuple."""
        value = parsed(cell) if isinstance(cell, str) else cell
        if value is None or (is_scalar(value) and not isinstance(cell, str)):
            return cell
        found = labels_of_object(value) if isinstance(value, dict) else elements(value, self.separator)
        return {} if found is None else tuple(found)

    def settled(self, cells: Sequence[Any], _declared: Collection[str]) -> list[Any]:
        """Return the kept cells, now that all are known. Lists of words without quotes become tuples."""
        texts = _texts_of(cells)
        found = dict(zip(texts, map(tuple, bare_lists(texts) or ()), strict=False))
        return [found.get(cell, cell) if isinstance(cell, str) else cell for cell in cells]

    def values(self, cell: Any) -> list[Any]:
        """Return the single labels in a kept cell, unread."""
        return [] if is_missing(cell) else elements(cell, self.separator) or []

    def read(self, cell: Any, reader: LabelReader) -> tuple[str, str | None]:
        """Return the labels of a kept cell as one string, each once and in order, and the key of its problem."""
        parts = self.values(cell)
        if not all(map(is_scalar, parts)) or isinstance(cell, dict):
            return "", "several_labels"
        if not parts:
            return "", None if isinstance(cell, tuple) else "missing_label"
        read = [reader.read(part) for part in parts]
        names = {name for name in read if name is not None}
        if None in read:
            return "", "missing_label"
        if any(map(is_broken, names)):
            return "", "broken_label"
        self.separator.check(names)
        known = reader.known or ()
        order = {name: place for place, name in enumerate(known)}
        label = self.separator.join(sorted(names, key=lambda name: (order.get(name, len(order)), name)))
        return label, "unknown_label" if known and not names <= order.keys() else None

    def split(self, label: str) -> tuple[str, ...]:
        """Return the labels in a label that was read."""
        return self.separator.split(label)

    def strata(self, labels: Sequence[str], rows: Sequence[int]) -> Sequence[str]:
        """Return the stratum of each set of labels: its rarest label."""
        return rarest([self.split(label) for label in labels], rows)


def _texts_of(cells: Sequence[Any]) -> list[str]:
    return [cell for cell in cells if isinstance(cell, str) and not is_missing(cell)]


Labelling = OneLabel | SeveralLabels


def labelling(task: TaskConfig) -> Labelling:
    """Return how label cells are read for a task."""
    return SeveralLabels(Separator(task.label_separator)) if task.type == "multi_label" else OneLabel()
