"""From which probability on a model keeps below a wanted error rate, with a guarantee for further texts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whylabel.evaluation.bootstrap import Floats

ERROR_RATES = (0.2, 0.1, 0.05, 0.02, 0.01)
"""The error rates for which a threshold is looked for."""
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Guarantee:
    """The lowest threshold from which on, with a confidence of 0.95, at most `error_rate` of the labels are wrong.

    `coverage` is the share of these rows that still get a label, `errors` the share of wrong ones among them. All
    three are None if no threshold can be guaranteed with so few rows.
    """

    error_rate: float
    threshold: float | None = None
    coverage: float | None = None
    errors: float | None = None


def guarantees(confidence: Floats, right: NDArray[np.bool_]) -> tuple[Guarantee, ...]:
    """Return the threshold for each of `ERROR_RATES`; `confidence` is the best probability of each row.

    The rows must not have been used to train or to calibrate the model.
    """
    return tuple(guarantee(confidence, right, rate) for rate in ERROR_RATES)


def guarantee(
    confidence: Floats, right: NDArray[np.bool_], error_rate: float, level: float = 1 - CONFIDENCE
) -> Guarantee:
    """Return the lowest threshold that a binary search finds whose error rate is bounded by `error_rate`.

    Each of the k thresholds that are tried gets a level of `level / k`, so the bound holds for whichever is taken.
    Source: Geifman and El-Yaniv 2017, Selective Classification for Deep Neural Networks, arXiv 1705.08500,
    algorithm 1, with the exact binomial bound.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered, wrong = confidence[order], np.cumsum(~right[order])
    # Rows with the same probability are kept or left out together.
    ends = np.flatnonzero(np.append(ordered[1:] < ordered[:-1], True))
    # A failed row has no probability: no threshold lets it in.
    ends = ends[ordered[ends] >= 0]
    tries = max(1, math.ceil(math.log2(len(ends) + 1)))
    best: int | None = None
    low, high = 0, len(ends) - 1
    while low <= high:
        middle = (low + high) // 2
        kept = int(ends[middle]) + 1
        if upper_bound(int(wrong[kept - 1]), kept, level / tries) <= error_rate:
            best, low = kept, middle + 1
        else:
            high = middle - 1
    if best is None:
        return Guarantee(error_rate)
    return Guarantee(error_rate, float(ordered[best - 1]), best / len(ordered), float(wrong[best - 1] / best))


def upper_bound(errors: int, n: int, level: float) -> float:
    """Return the upper bound of a share that holds with a probability of 1 - level (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    return 1.0 if errors >= n else float(beta.ppf(1 - level, errors + 1, n - errors))
