"""Bootstrap over test rows: percentile intervals of scores that are functions of the counts of outcomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CELLS_AT_ONCE = 4_000_000


def distinct_outcomes(*columns: Ints) -> tuple[tuple[Ints, ...], Ints]:
    """Return the distinct rows of equally long columns, again as columns, and the count of each."""
    rows, counts = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
    return tuple(rows.T), counts.astype(np.int64)


def percentile_intervals(
    counts: Ints, statistic: Callable[[Floats], Floats], samples: int, seed: int
) -> list[Interval]:
    """Return the 95 % percentile interval of each value of `statistic` (Efron & Tibshirani 1993, ch. 13).

    `counts` is the number of rows with each distinct outcome; `statistic` maps resampled counts, shape
    (m, outcomes), to values, shape (m, values). The same seed gives the same intervals.
    """
    values = resampled_values(counts, statistic, samples, seed)
    low, high = np.percentile(values, [2.5, 97.5], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def resampled_values(counts: Ints, statistic: Callable[[Floats], Floats], samples: int, seed: int) -> Floats:
    """Return the values of `statistic` over resampled rows, first axis `samples`; see `percentile_intervals`."""
    # Sampling n rows with replacement equals a multinomial sample over the distinct outcomes, which are far fewer
    # than the rows.
    rng = np.random.default_rng(seed)
    total = int(counts.sum())
    shares: Any = counts / total
    step = max(1, _CELLS_AT_ONCE // len(counts))
    return np.concatenate(
        [
            statistic(rng.multinomial(total, shares, size=min(step, samples - start)).astype(float))
            for start in range(0, samples, step)
        ]
    )
