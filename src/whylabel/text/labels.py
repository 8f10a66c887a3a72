"""The closed set of labels, in their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from whylabel.errors import LabelError, unknown_name


@dataclass(frozen=True, slots=True)
class LabelSet:
    """At least two distinct labels in a fixed order; probabilities follow that order.

    Raises `LabelError` if there are fewer than two labels, or one is empty or occurs twice.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise LabelError(
                f"A classifier needs at least two labels, got {list(self.names)!r}.",
                fix="check the label column, or name all labels under task.labels",
            )
        seen: set[str] = set()
        for name in self.names:
            if not name.strip():
                raise LabelError("A label is empty.", fix="give every label a name")
            # Prompts contain trimmed labels, so labels that differ only in outer blanks are the same.
            if name.strip() in seen:
                raise LabelError(
                    f"Label {name!r} occurs twice in the label set.",
                    fix="name each label once; blanks around it do not count",
                )
            seen.add(name.strip())

    @classmethod
    def from_labels(
        cls, labels: Iterable[str], declared: Iterable[str] | None = None, *, where: str | None = None
    ) -> LabelSet:
        """Return the declared set in its order, or the sorted distinct labels.

        Raises `LabelError` if a label occurs that was not declared, or they are no usable set; `where` is the place
        that it names.
        """
        present = sorted(set(labels))
        try:
            label_set = cls(tuple(present if declared is None else declared))
            for label in sorted(set(present) - set(label_set.names)):
                label_set.index(label)
        except LabelError as error:
            raise LabelError(error.what, where=where, fix=error.fix) from None
        return label_set

    def index(self, label: str) -> int:
        """Return the position of a label. Raises `LabelError` if it is not in the set."""
        try:
            return self.names.index(label)
        except ValueError:
            raise LabelError(
                unknown_name("label", label, self.names),
                fix="correct the label in the data, or name it under task.labels",
            ) from None

    def __len__(self) -> int:
        return len(self.names)
