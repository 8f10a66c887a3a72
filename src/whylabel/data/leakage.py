"""Texts of validation and test that also occur in train: scores on them are too good."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from whylabel.data.cells import normalise_text
from whylabel.types import Dataset, Example


@dataclass(frozen=True, slots=True)
class Leakage:
    """The number of a split's rows whose text also occurs in train, and how many of them have another label there."""

    split: str
    rows: int
    leaked: int
    other_label: int

    def __str__(self) -> str:
        others = f", {self.other_label:,} of them with another label" if self.other_label else ""
        return f"{self.leaked:,} of {self.rows:,} {self.split} texts also occur in train{others}"


def leakage(dataset: Dataset) -> list[Leakage]:
    """Return the splits with texts that also occur in train. Texts are equal up to case, blanks and Unicode forms."""
    others = {name: rows for name, rows in dataset.splits().items() if name != "train" and rows}
    return [found for found in texts_in_train(dataset.train, others) if found.leaked]


def texts_in_train(train: Iterable[Example], others: Mapping[str, Sequence[Example]]) -> list[Leakage]:
    """Return for each of the others, by name, how many of its texts occur in train; equal as above."""
    wanted = {normalise_text(row.text) for rows in others.values() for row in rows}
    in_train: dict[str, set[str]] = {}
    for row in train if wanted else ():
        text = normalise_text(row.text)
        if text in wanted:
            in_train.setdefault(text, set()).add(row.label)
    return [_leakage(name, rows, in_train) for name, rows in others.items()]


def _leakage(split: str, rows: Sequence[Example], in_train: dict[str, set[str]]) -> Leakage:
    labels = [(row.label, in_train.get(normalise_text(row.text))) for row in rows]
    leaked = sum(known is not None for _, known in labels)
    other = sum(known is not None and label not in known for label, known in labels)
    return Leakage(split, len(rows), leaked, other)
