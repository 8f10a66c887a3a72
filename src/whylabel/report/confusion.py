"""Confusions between labels: a heat table, or the most frequent confusions if there are many labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whylabel.report.charts import MANY_LABELS

_MAX_LISTED = 20


@dataclass(frozen=True, slots=True)
class Cell:
    """The number of rows with one gold and one predicted label, and its `share` of the gold label's rows."""

    gold: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """One model's confusions: all cells by gold label if there are few labels, else only `frequent`."""

    model: str
    labels: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    frequent: tuple[Cell, ...]


def confusions(evaluation: Mapping[str, Any]) -> tuple[Confusion, ...]:
    """Return the confusions of baseline and classifier, if they were evaluated."""
    labels = tuple(evaluation.get("labels") or ())
    found = []
    for model in ("baseline", "classifier"):
        matrix = (evaluation.get(model) or {}).get("confusion_matrix")
        if labels and matrix:
            found.append(_confusion(model, labels, matrix))
    return tuple(found)


def _confusion(model: str, labels: tuple[str, ...], matrix: list[list[int]]) -> Confusion:
    rows = tuple(
        tuple(
            Cell(gold, predicted, count, count / (sum(counts) or 1))
            for predicted, count in zip(labels, counts, strict=True)
        )
        for gold, counts in zip(labels, matrix, strict=True)
    )
    wrong = [cell for row in rows for cell in row if cell.count and cell.gold != cell.predicted]
    wrong.sort(key=lambda cell: (-cell.count, -cell.share))
    few = len(labels) <= MANY_LABELS
    return Confusion(model, labels, rows if few else (), () if few else tuple(wrong[:_MAX_LISTED]))
