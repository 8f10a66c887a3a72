"""Which of all models is best on the test rows, and by how much, also where it is not ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whylabel.evaluation.bootstrap import Interval
from whylabel.types import Mode


@dataclass(frozen=True, slots=True)
class Best:
    """The model with the best score, accuracy or micro-F1, of `candidates`; of equal ones the cheapest.

    `difference` is its score minus that of the model `minus`, on the same rows; None if it is that model itself.
    `mcnemar_p` is None if a text may have several labels.
    """

    model: str
    mode: Mode
    score: float
    candidates: int
    minus: str
    difference: float | None = None
    ci95: Interval | None = None
    mcnemar_p: float | None = None


def best_of(scores: Mapping[tuple[str, Mode], Any]) -> tuple[str, Mode]:
    """Return the best of scores by (model, mode), the first of equal ones: name cheap ones first."""
    return max(scores, key=lambda key: main_score(scores[key]))


def main_score(score: Any) -> float:
    """Return the score by which models are compared: accuracy, or micro-F1 if a text may have several labels."""
    return float(score.accuracy if hasattr(score, "accuracy") else score.micro_f1)


def difference_of(paired: Any) -> dict[str, Any]:
    """Return the figures of a paired comparison for `Best`."""
    if hasattr(paired, "mcnemar_p"):
        return {"difference": paired.difference, "ci95": paired.ci95, "mcnemar_p": paired.mcnemar_p}
    return {"difference": paired.micro_f1_difference, "ci95": paired.micro_f1_difference_ci95}
