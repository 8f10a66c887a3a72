"""Which of a run's predictions somebody wants to look at: found piece by piece, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whylabel.evaluation.predictions import PredictionRow, iterate_predictions, prediction_tables
from whylabel.prediction.withheld import WITHHELD
from whylabel.text.several_labels import Separator

if TYPE_CHECKING:
    import pyarrow

_SEARCHED = ("text", "reasoning", "error")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted; None: whatever it is.

    `gold` and `label` are single labels, also where a text may have several; an empty one: it has none. `search`: all
    of its words stand in text, reasoning or error, whatever their case.
    """

    model: str | None = None
    mode: str | None = None
    gold: str | None = None
    label: str | None = None
    right: bool | None = None
    disagrees: bool | None = None
    withheld: bool | None = None
    failed: bool | None = None
    search: str = ""


def find_predictions(path: Path, wanted: Wanted, separator: Separator | None = None) -> tuple[int, ...]:
    """Return the numbers of the rows that are wanted, from 0, ascending.

    `separator`: what stands between the labels where a text may have several. Raises `RunFolderError` if the file is
    damaged.
    """
    conditions = list(_conditions(wanted, separator))
    columns = {"model", *(column for needed, _ in conditions for column in needed)}
    found: list[int] = []
    start = 0
    for table in prediction_tables(path, columns):
        mask = np.ones(len(table), dtype=bool)
        for _, condition in conditions:
            mask &= condition(table)
        found += (np.flatnonzero(mask) + start).tolist()
        start += len(table)
    return tuple(found)


def predictions_at(path: Path, numbers: Sequence[int]) -> list[PredictionRow]:
    """Return the rows with these numbers, which ascend."""
    return list(iterate_predictions(path, numbers))


def model_modes(path: Path) -> dict[str, list[str]]:
    """Return the modes of each model whose predictions are in the file, in their order."""
    found: dict[str, dict[str, None]] = {}
    for table in prediction_tables(path, ("model", "mode")):
        for pair in table.group_by(["model", "mode"], use_threads=False).aggregate([]).to_pylist():
            found.setdefault(pair["model"], {})[pair["mode"]] = None
    return {model: list(modes) for model, modes in found.items()}


_Condition = tuple[Sequence[str], Callable[["pyarrow.Table"], Any]]
"""The columns that are read, and from them which rows are wanted: booleans, shape (rows,)."""


def _conditions(wanted: Wanted, separator: Separator | None) -> list[_Condition]:
    import pyarrow.compute as pc

    found: list[_Condition] = []
    for name in ("model", "mode"):
        if (value := getattr(wanted, name)) is not None:
            found.append(([name], _equal(name, value)))
    for name in ("gold", "label"):
        if (value := getattr(wanted, name)) is not None:
            found.append(([name], _has_label(name, value, separator)))
    if (right := wanted.right) is not None:
        found.append(
            (
                ["gold", "label", "status"],
                lambda table: _truth(pc.equal(table["gold"], table["label"])) & ~_failed(table) == right,
            )
        )
    if (failed := wanted.failed) is not None:
        found.append((["status"], lambda table: _failed(table) == failed))
    if (disagrees := wanted.disagrees) is not None:
        found.append((["disagrees"], lambda table: _truth(table["disagrees"]) == disagrees))
    if (withheld := wanted.withheld) is not None:
        found.append(
            (
                ["reasoning_status"],
                lambda table: _truth(pc.starts_with(table["reasoning_status"], WITHHELD)) == withheld,
            )
        )
    found += [(_SEARCHED, _holds(word)) for word in wanted.search.split()]
    return found


def _equal(name: str, value: str) -> Callable[[pyarrow.Table], Any]:
    import pyarrow.compute as pc

    return lambda table: _truth(pc.equal(table[name], value))


def _has_label(name: str, label: str, separator: Separator | None) -> Callable[[pyarrow.Table], Any]:
    import pyarrow
    import pyarrow.compute as pc

    if separator is None or not label:
        return _equal(name, label)

    def condition(table: pyarrow.Table) -> Any:
        sets = [each for each in pc.unique(table[name]).to_pylist() if label in separator.split(each)]
        return _truth(pc.is_in(table[name], pyarrow.array(sets, pyarrow.string())))

    return condition


def _holds(word: str) -> Callable[[pyarrow.Table], Any]:
    import pyarrow.compute as pc

    def condition(table: pyarrow.Table) -> Any:
        found = np.zeros(len(table), dtype=bool)
        for name in _SEARCHED:
            found |= _truth(pc.match_substring(table[name], word, ignore_case=True))
        return found

    return condition


def _failed(table: pyarrow.Table) -> Any:
    import pyarrow.compute as pc

    return _truth(pc.equal(table["status"], "failed"))


def _truth(column: Any) -> Any:
    """Return booleans of a column; an empty cell is false."""
    return column.fill_null(False).to_numpy().astype(bool)
