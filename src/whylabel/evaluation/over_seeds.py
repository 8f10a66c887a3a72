"""Scores over test rows and seeds: their standard error, intervals and p-values from few trainings.

Every training of an arm labels the same rows, so rows and seeds are crossed, as cases and readers are in studies of
diagnosis; the analysis is that of Obuchowski and Rockette 1995 with the degrees of freedom of Hillis 2007 (Statistics
in Medicine 26:596), after Satterthwaite 1946 (Biometrics Bulletin 2:110).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whylabel.evaluation.bootstrap import Floats, Interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score or a difference, its standard error over rows and seeds, and the degrees of freedom of that error."""

    value: float
    standard_error: float
    degrees_of_freedom: float

    def interval(self, lowest: float, highest: float, level: float = 0.05) -> Interval:
        """Return the interval of a t distribution, within the bounds that the value has."""
        from scipy.stats import t

        half = float(t.ppf(1 - level / 2, self.degrees_of_freedom)) * self.standard_error
        return max(lowest, self.value - half), min(highest, self.value + half)

    def p(self) -> float:
        """Return the two-sided p-value that the true value is 0. The standard error must not be 0."""
        from scipy.stats import t

        return float(2 * t.sf(abs(self.value) / self.standard_error, self.degrees_of_freedom))


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
    by_seed = [weight * scores.variance for scores, weight in sources]
    counted = sum(weight * min(scores.variance, scores.variance_by_rows) for scores, weight in sources)
    by_row = max(0.0, float(resampled.var()) - counted)
    variance = sum(by_seed) + by_row
    spent = sum(part**2 / (len(scores) - 1) for part, (scores, _) in zip(by_seed, sources, strict=True))
    spent += by_row**2 / max(1, rows - 1)
    return Estimate(float(value), variance**0.5, variance**2 / spent if spent else float(max(1, rows - 1)))
