"""What became of the test rows, as a few numbers for each: rows themselves are read where they are asked for.

So a report of many test rows needs no more memory than one of few.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whylabel.evaluation.bootstrap import Ints
from whylabel.evaluation.predictions import Head, PredictionRow, iterate_heads, iterate_predictions
from whylabel.text.hashes import text_number
from whylabel.types import Mode

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One model in one mode; all arrays are in the order of its rows.

    `places` are the numbers of the rows among all predictions, `ids` hashes of their ids. `gold` and `labels` number
    the labels, in the same way for all models.
    """

    places: Ints
    ids: Ints
    gold: Ints
    labels: Ints
    right: Bools

    def __len__(self) -> int:
        return len(self.places)

    def positions_in(self, other: Outcomes) -> Ints:
        """Return for each row its position in another model's rows, by id; -1 where that has none."""
        if not len(other):
            return np.full(len(self), -1, dtype=np.int64)
        order = np.argsort(other.ids, kind="stable")
        found = order[np.minimum(np.searchsorted(other.ids[order], self.ids), len(order) - 1)]
        return np.where(other.ids[found] == self.ids, found, -1)


@dataclass(frozen=True, slots=True)
class Predictions:
    """All predictions of a run: `outcomes` by model and mode, in the order of the file."""

    outcomes: Mapping[tuple[str, Mode], Outcomes]
    _read: Callable[[Sequence[int]], Iterable[PredictionRow]]

    @classmethod
    def of_file(cls, path: Path) -> Predictions:
        """Return those of `evaluation/predictions.parquet`.

        Raises `RunFolderError` if the file is missing, damaged or lacks a column.
        """
        return cls(_outcomes(iterate_heads(path)), lambda places: iterate_predictions(path, places))

    @classmethod
    def of_rows(cls, rows: Sequence[PredictionRow]) -> Predictions:
        """Return rows that are in memory."""
        return cls(_outcomes(map(Head.of, rows)), lambda places: [rows[place] for place in places])

    def at(self, places: Iterable[int]) -> dict[int, PredictionRow]:
        """Return the rows with these numbers, by their number."""
        wanted = sorted({int(place) for place in places})
        return dict(zip(wanted, self._read(wanted), strict=True)) if wanted else {}

    def spread(self, count: int) -> list[PredictionRow]:
        """Return up to `count` rows of one model, evenly spread over the test rows."""
        first = next(iter(self.outcomes.values()), None)
        if first is None:
            return []
        chosen = np.unique(np.linspace(0, len(first) - 1, min(count, len(first))).astype(np.int64))
        return list(self.at(first.places[chosen].tolist()).values())


def _outcomes(heads: Iterable[Head]) -> dict[tuple[str, Mode], Outcomes]:
    names: dict[str, int] = {}
    found: dict[tuple[str, Mode], _Growing] = {}
    for place, head in enumerate(heads):
        growing = found.setdefault((head.model, head.mode), _Growing())
        gold, label = (names.setdefault(name, len(names)) for name in (head.gold, head.label))
        growing.add(place, text_number(head.id), gold, label, head.right)
    return {key: growing.outcomes() for key, growing in found.items()}


class _Growing:
    """Outcomes that rows are added to."""

    def __init__(self) -> None:
        self._columns = (array("q"), array("q"), array("i"), array("i"), array("b"))

    def add(self, *values: int) -> None:
        """Add a row: its place, the hash of its id, gold label, label, and whether it is right."""
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def outcomes(self) -> Outcomes:
        """Return them as they are now."""
        places, ids, gold, labels, right = map(np.asarray, self._columns)
        return Outcomes(places, ids, gold, labels, right.astype(bool))


NO_PREDICTIONS = Predictions({}, lambda _places: ())
NO_OUTCOMES = _Growing().outcomes()
