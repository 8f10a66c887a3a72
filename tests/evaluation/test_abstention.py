import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from whylabel.evaluation.abstention import ERROR_RATES, guarantee, guarantees, upper_bound


@pytest.mark.parametrize(("errors", "n"), [(0, 10), (3, 50), (49, 50), (120, 1000)])
def test_the_bound_is_the_exact_one(errors, n):
    bound = upper_bound(errors, n, 0.02)
    # A two-sided interval at 0.04 has 0.02 on each side.
    assert bound == pytest.approx(proportion_confint(errors, n, alpha=0.04, method="beta")[1])
    assert binom.cdf(errors, n, bound) == pytest.approx(0.02)
    assert upper_bound(n, n, 0.02) == 1.0


def drawn(rng, n):
    """Return confidences, and whether a row is right with just that probability."""
    confidence = rng.beta(3, 1, n)
    return confidence, rng.random(n) < confidence


def test_the_guarantee_holds_for_further_texts():
    rng = np.random.default_rng(1)
    many, right = drawn(rng, 400_000)
    broken = found = 0
    for _ in range(400):
        outcome = guarantee(*drawn(rng, 300), 0.15)
        if outcome.threshold is not None:
            found += 1
            kept = many >= outcome.threshold
            broken += (~right[kept]).mean() > 0.15
    assert found > 250 and broken / 400 <= 0.05


def test_the_figures_are_those_of_the_rows():
    confidence, right = drawn(np.random.default_rng(2), 2000)
    for outcome in guarantees(confidence, right):
        if outcome.threshold is None:
            continue
        kept = confidence >= outcome.threshold
        assert outcome.coverage == pytest.approx(kept.mean())
        assert outcome.errors == pytest.approx((~right[kept]).mean()) and outcome.errors < outcome.error_rate
    thresholds = [one.threshold for one in guarantees(confidence, right) if one.threshold is not None]
    assert thresholds == sorted(thresholds) and len(thresholds) >= 2
    assert [one.error_rate for one in guarantees(confidence, right)] == list(ERROR_RATES)


def test_too_few_rows_guarantee_nothing():
    outcome = guarantee(np.array([0.9, 0.8, 0.7]), np.array([True, True, True]), 0.05)
    assert (outcome.threshold, outcome.coverage, outcome.errors) == (None, None, None)


def test_a_failed_row_takes_no_guarantee_away():
    confidence, right = np.full(1000, 0.9), np.arange(1000) % 20 > 0
    alone = guarantee(confidence, right, 0.2)
    beside = guarantee(np.append(confidence, -1.0), np.append(right, False), 0.2)
    assert alone.threshold == beside.threshold == 0.9
    assert beside.coverage == pytest.approx(1000 / 1001)


def test_equal_probabilities_are_kept_together_and_failed_rows_never():
    confidence = np.array([0.9] * 200 + [0.6] * 100 + [-1.0] * 50)
    right = np.array([True] * 200 + [True, False] * 50 + [False] * 50)
    outcome = guarantee(confidence, right, 0.05)
    assert (outcome.threshold, outcome.errors) == (0.9, 0.0) and outcome.coverage == pytest.approx(200 / 350)
    assert guarantee(np.full(50, -1.0), np.zeros(50, dtype=bool), 0.2).threshold is None
