"""Scores over test rows and seeds: their standard error, intervals and p-values from few trainings.

Every training of an arm labels the same rows, so rows and seeds are crossed, as cases and readers are in studies of
diagnosis: the variance is that of Obuchowski and Rockette 1995 (Communications in Statistics, Simulation 24:285). It
has a part from few seeds and one from many rows, and quantiles are the mean of those of two t distributions, weighted
by these parts (Cochran 1964, Biometrics 20:191). With one number of degrees of freedom for both (Satterthwaite 1946),
twice as many differences as should be are shown with two seeds: the test simulates it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whylabel.evaluation.bootstrap import Floats, Interval

SMALLEST_P = 1e-9


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score or a difference, and the two parts of its variance with their degrees of freedom."""

    value: float
    by_seed: float
    seed_freedom: float
    by_row: float
    row_freedom: float

    @property
    def standard_error(self) -> float:
        """The standard error over seeds and rows."""
        return math.sqrt(self.by_seed + self.by_row)

    def quantile(self, share: float) -> float:
        """Return the quantile of the estimate's error in standard errors. The standard error must not be 0."""
        from scipy.stats import t

        seeds, rows = (float(t.ppf(share, freedom)) for freedom in (self.seed_freedom, self.row_freedom))
        return (self.by_seed * seeds + self.by_row * rows) / (self.by_seed + self.by_row)

    def interval(self, lowest: float, highest: float, level: float = 0.05) -> Interval:
        """Return the interval at a level, within the bounds that the value has."""
        half = self.quantile(1 - level / 2) * self.standard_error if self.standard_error else 0.0
        return max(lowest, self.value - half), min(highest, self.value + half)

    def p(self) -> float:
        """Return the two-sided p-value that the true value is 0; `SMALLEST_P` stands for smaller ones."""
        from scipy.optimize import brentq

        size = abs(self.value) / self.standard_error
        if size <= self.quantile(0.5):
            return 1.0
        if self.quantile(1 - SMALLEST_P / 2) <= size:
            return SMALLEST_P
        return float(brentq(lambda p: self.quantile(1 - p / 2) - size, SMALLEST_P, 1.0, xtol=SMALLEST_P))


@dataclass(frozen=True, slots=True)
class Scores:
    """One score of several trainings: as observed, shape (trainings,), and on resampled rows, (samples, trainings).

    The rows are resampled alike for all trainings.
    """

    observed: Floats
    resampled: Floats

    def __len__(self) -> int:
        return len(self.observed)

    def minus(self, other: Scores) -> Scores:
        """Return the differences of trainings that belong together, in the same order."""
        return Scores(self.observed - other.observed, self.resampled - other.resampled)

    @property
    def variance(self) -> float:
        """The variance between trainings, of which there are two or more."""
        return float(self.observed.var(ddof=1))

    @property
    def variance_by_rows(self) -> float:
        """The part of `variance` that would be another one with other rows."""
        count, each = len(self), self.resampled.var(axis=0).mean()
        # The mean covariance of two trainings, from the variance of the mean of all.
        shared = (count * self.resampled.mean(axis=1).var() - each) / (count - 1)
        return max(0.0, float(each - shared))


def mean_of(scores: Scores, rows: int) -> Estimate:
    """Return the mean over two or more trainings that were tested on so many rows."""
    return _estimate(scores.observed.mean(), scores.resampled.mean(axis=1), [(scores, 1 / len(scores))], rows)


def difference_of(one: Scores, other: Scores, rows: int) -> Estimate:
    """Return the difference of the means of trainings with seeds of their own; one arm or both have several.

    One training says nothing about its seed: the variance of the other arm then stands for its own, too.
    """
    sources = [(scores, 1 / len(scores)) for scores in (one, other) if len(scores) > 1]
    if len(sources) == 1:
        [(scores, weight)] = sources
        sources = [(scores, weight + 1)]
    return _estimate(
        one.observed.mean() - other.observed.mean(),
        one.resampled.mean(axis=1) - other.resampled.mean(axis=1),
        sources,
        rows,
    )


def _estimate(value: Any, resampled: Floats, sources: Sequence[tuple[Scores, float]], rows: int) -> Estimate:
    """Return a value with its standard error; `sources` are the scores whose seeds it rests on, with their weights.

    The variance between trainings has a share of that between rows, which is not counted again. So the variance is at
    least that of the choice of the rows.
    """
    parts = [weight * scores.variance for scores, weight in sources]
    counted = sum(weight * min(scores.variance, scores.variance_by_rows) for scores, weight in sources)
    by_row = max(0.0, float(resampled.var()) - counted)
    by_seed = sum(parts)
    # Of two arms with seeds of their own, as in Welch's test.
    spent = sum(part**2 / (len(scores) - 1) for part, (scores, _) in zip(parts, sources, strict=True))
    freedom = by_seed**2 / spent if spent else float(min(len(scores) for scores, _ in sources) - 1)
    return Estimate(float(value), by_seed, freedom, by_row, float(max(1, rows - 1)))
