"""Slices of the test rows, against scipy and by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from whylabel.evaluation.holm import holm
from whylabel.evaluation.slices import compare_slices

RNG = np.random.default_rng(3)
N = 200
BASELINE = RNG.random(N) < 0.5
CLASSIFIER = np.where(np.arange(N) < 100, RNG.random(N) < 0.9, BASELINE)
GROUPS = {
    "half": {"first": range(100), "second": range(100, N)},
    "all": {"every": range(N), "nothing": ()},
}


def compared(seed=5):
    return compare_slices(BASELINE, CLASSIFIER, GROUPS, bootstrap_samples=4000, seed=seed)


def test_each_slice_has_the_figures_of_its_rows():
    found = compared()
    assert [(each.by, each.value, each.n) for each in found] == [
        ("half", "first", 100),
        ("half", "second", 100),
        ("all", "every", 200),
    ]
    for each, places in zip(found, (range(100), range(100, 200), range(200)), strict=True):
        base, ours = BASELINE[list(places)], CLASSIFIER[list(places)]
        assert (each.baseline, each.classifier) == (base.mean(), ours.mean())
        gained, lost = int((ours & ~base).sum()), int((base & ~ours).sum())
        assert each.difference == pytest.approx((gained - lost) / each.n)
        p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        assert each.mcnemar_p == pytest.approx(p)
        # Normal approximation of a paired difference.
        gain = ours.astype(float) - base
        margin = norm.ppf(0.975) * gain.std() / np.sqrt(each.n)
        assert each.ci95 == pytest.approx((gain.mean() - margin, gain.mean() + margin), abs=0.02)


def test_the_second_p_value_takes_all_slices_into_account():
    found = compared()
    assert [each.holm_p for each in found] == pytest.approx(holm([each.mcnemar_p for each in found]))
    assert found[0].holm_p == pytest.approx(3 * found[0].mcnemar_p)
    assert found[0].holm_p < 0.01 and found[1].holm_p == 1.0


def test_the_seed_decides_the_intervals():
    assert compared() == compared() != compared(seed=6)
