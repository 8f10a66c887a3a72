"""Which of all models is best on the test rows, and by how much, also where it is not ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whylabel.evaluation.bootstrap import Interval
from whylabel.evaluation.holm import holm
from whylabel.evaluation.paired import mcnemar_p
from whylabel.types import Example, Mode, Prediction

Key = tuple[str, Mode]
"""A model in a mode."""


@dataclass(frozen=True, slots=True)
class Best:
    """The model with the best score, accuracy or micro-F1, of `candidates`; of equal ones the fastest.

    `difference` is its score minus that of the model `minus`, on the same rows; None if it is that model itself.
    `mcnemar_p` is None if a text may have several labels; `p_holm` is corrected for all candidates that could have
    been the best.
    """

    model: str
    mode: Mode
    score: float
    candidates: int
    minus: str
    difference: float | None = None
    ci95: Interval | None = None
    mcnemar_p: float | None = None
    p_holm: float | None = None


def corrected_p(
    test: Sequence[Example], ours: Sequence[Prediction], others: Mapping[Key, Sequence[Prediction]]
) -> dict[Key, float]:
    """Return for each of the others the exact McNemar p-value against ours, corrected for their number by Holm.

    All predictions are in the order of the test rows, each with one label.
    """
    mine = _right(test, ours)
    p_values = []
    for said in others.values():
        pairs = list(zip(mine, _right(test, said), strict=True))
        p_values.append(mcnemar_p(pairs.count((True, False)), pairs.count((False, True))))
    return dict(zip(others, holm(p_values), strict=True))


def _right(test: Sequence[Example], said: Sequence[Prediction]) -> list[bool]:
    return [one.status != "failed" and one.label == row.label for row, one in zip(test, said, strict=True)]


def best_of(scores: Mapping[Key, Any]) -> Key:
    """Return the best of scores by (model, mode), of equal ones the fastest."""
    return max(scores, key=lambda key: rank(main_score(scores[key]), scores[key].cost.seconds_per_row))


def rank(score: float, seconds_per_row: float) -> tuple[float, float]:
    """Return what orders models: the score, without the last digits of its arithmetic, then the time they take."""
    return round(score, 9), -seconds_per_row


def main_score(score: Any) -> float:
    """Return the score by which models are compared: accuracy, or micro-F1 if a text may have several labels."""
    return float(score.accuracy if hasattr(score, "accuracy") else score.micro_f1)


def difference_of(paired: Any) -> dict[str, Any]:
    """Return the figures of a paired comparison for `Best`."""
    if hasattr(paired, "mcnemar_p"):
        return {"difference": paired.difference, "ci95": paired.ci95, "mcnemar_p": paired.mcnemar_p}
    return {"difference": paired.micro_f1_difference, "ci95": paired.micro_f1_difference_ci95}
