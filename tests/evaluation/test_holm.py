"""Adjusted p-values, against the closed testing procedure over all subsets."""

from itertools import combinations

import pytest

from whylabel.evaluation.holm import holm


def closed(p_values):
    """Return the adjusted p-values of closed testing with Bonferroni's test of each subset, by brute force."""
    places = range(len(p_values))
    subsets = [part for size in places for part in combinations(places, size + 1)]
    return [
        max(min(1.0, len(part) * min(p_values[at] for at in part)) for part in subsets if place in part)
        for place in places
    ]


@pytest.mark.parametrize(
    "p_values",
    [[0.01, 0.04, 0.03, 0.005], [0.5], [1.0, 1.0], [0.02, 0.02, 0.9], [0.3, 0.01, 0.2, 0.01, 0.04]],
)
def test_it_is_closed_testing(p_values):
    assert holm(p_values) == pytest.approx(closed(p_values))


def test_a_worked_example():
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()
