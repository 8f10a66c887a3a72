"""Standard errors from few trainings, against the analysis of variance and under a null that is simulated."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from whylabel.evaluation.over_seeds import SMALLEST_P, Scores, difference_of, mean_of


def scores_of(right, samples=4000, seed=0):
    """Return the accuracies of trainings, shape (trainings, rows), on resampled rows."""
    rows = right.shape[1]
    counts = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=samples)
    return Scores(right.mean(axis=1), counts @ right.T / rows)


def crossed(rng, seeds, rows, spread, hardness=1.5):
    """Return whether trainings label rows correctly: some rows are harder, some seeds better."""
    ease = rng.normal(0.8, hardness, rows)
    luck = rng.normal(0.0, spread, (seeds, 1))
    return (ease + luck + rng.normal(size=(seeds, rows)) > 0).astype(float)


def test_the_standard_error_is_that_of_the_two_way_analysis_of_variance():
    right = crossed(np.random.default_rng(1), 4, 300, 0.4)
    table = pd.DataFrame(
        [(seed, row, value) for (seed, row), value in np.ndenumerate(right)], columns=["seed", "row", "value"]
    )
    squares = anova_lm(ols("value ~ C(seed) + C(row)", table).fit())["mean_sq"]
    variance = (squares["C(seed)"] + squares["C(row)"] - squares["Residual"]) / right.size
    found = mean_of(scores_of(right, 40_000), right.shape[1])
    assert found.value == pytest.approx(right.mean())
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=0.02)
    by_seed = squares["C(seed)"] / right.size
    assert found.by_seed == pytest.approx(by_seed) and found.by_row == pytest.approx(
        variance - by_seed, rel=0.04
    )
    assert (found.seed_freedom, found.row_freedom) == (3, 299)
    # Cochran 1964: the quantiles of two t distributions, weighted by their variances.
    share = found.by_seed / (found.by_seed + found.by_row)
    critical = share * stats.t.ppf(0.975, 3) + (1 - share) * stats.t.ppf(0.975, 299)
    low, high = found.interval(0, 1)
    assert (high - low) / 2 == pytest.approx(critical * found.standard_error)
    at_the_bound = replace(found, value=critical * found.standard_error)
    assert at_the_bound.p() == pytest.approx(0.05) and replace(found, value=50.0).p() == SMALLEST_P


def test_without_a_choice_of_rows_it_is_the_t_test():
    rng = np.random.default_rng(2)
    one, other = rng.normal(0.6, 0.1, 4), rng.normal(0.5, 0.1, 3)
    # No score changes with the rows.
    first, second = (Scores(each, np.tile(each, (50, 1))) for each in (one, other))
    found, known = difference_of(first, second, 100), stats.ttest_ind(one, other, equal_var=False)
    assert found.p() == pytest.approx(known.pvalue) and found.seed_freedom == pytest.approx(known.df)
    assert found.interval(-1, 1) == pytest.approx(tuple(known.confidence_interval()))
    third = Scores(other, np.tile(other, (50, 1)))
    paired, known = (
        mean_of(Scores(one[:3], np.tile(one[:3], (50, 1))).minus(third), 100),
        stats.ttest_rel(one[:3], other),
    )
    assert paired.p() == pytest.approx(known.pvalue) and paired.seed_freedom == pytest.approx(2)
    # One training against several: the t test with a common variance.
    alone, known = Scores(other[:1], np.tile(other[:1], (50, 1))), stats.ttest_ind(one, other[:1])
    for found, sign in ((difference_of(first, alone, 100), 1), (difference_of(alone, first, 100), -1)):
        assert found.p() == pytest.approx(known.pvalue) and found.value == pytest.approx(
            sign * (one.mean() - other[0])
        )


@pytest.mark.parametrize(("seeds", "spread"), [(2, 1.0), (3, 0.3)])
def test_under_the_null_about_five_percent_are_shown(seeds, spread):
    rng = np.random.default_rng(seeds)
    shown = np.zeros(2)
    simulated = 250
    for number in range(simulated):
        # Two arms that are equally good, the seeds of each with luck of their own, on the same rows.
        every = scores_of(crossed(rng, 2 * seeds, 100, spread), 100, number)
        one, other = (
            Scores(every.observed[part], every.resampled[:, part])
            for part in (slice(seeds), slice(seeds, None))
        )
        by_rows = (one.resampled.mean(axis=1) - other.resampled.mean(axis=1)).var()
        for place, found in enumerate((mean_of(one.minus(other), 100), difference_of(one, other, 100))):
            low, high = found.interval(-1, 1)
            shown[place] += not low <= 0 <= high
            # Never surer than the choice of the rows alone allows.
            assert found.standard_error >= math.sqrt(by_rows) * (1 - 1e-9)
    assert (shown / simulated < 0.09).all()
