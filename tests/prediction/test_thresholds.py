import numpy as np
import pytest
from sklearn.metrics import f1_score

from whylabel.prediction.thresholds import LEAST_POSITIVES, best_threshold, fit_thresholds


def best_f1(probabilities, gold):
    """The best F1 of any threshold, by trying all."""
    limits = [*np.unique(probabilities), 2.0]
    return max(f1_score(gold, probabilities >= limit, zero_division=0) for limit in limits)


@pytest.mark.parametrize("digits", [1, 8])
def test_no_threshold_is_better(digits):
    rng = np.random.default_rng(3)
    for _ in range(40):
        # With one digit many probabilities are equal.
        probabilities = rng.random(30).round(digits)
        gold = rng.random(30) < 0.4
        if not gold.any():
            continue
        threshold, found = best_threshold(probabilities, gold)
        assert found == pytest.approx(best_f1(probabilities, gold))
        assert found == pytest.approx(f1_score(gold, probabilities >= threshold))


def test_it_lies_half_way_between_two_probabilities():
    threshold, f1 = best_threshold(np.array([0.9, 0.2, 0.7, 0.1]), np.array([True, False, True, False]))
    assert (threshold, f1) == (pytest.approx(0.45), 1.0)
    everything, _ = best_threshold(np.array([0.4, 0.2]), np.array([True, True]))
    assert everything == pytest.approx(0.1)


def test_between_neighbours_without_a_middle_the_upper_one_is_taken():
    high = np.nextafter(0.5, 1)
    threshold, f1 = best_threshold(np.array([high, 0.5]), np.array([True, False]))
    assert threshold == high and f1 == 1


def test_without_positives_there_is_nothing_to_choose():
    assert best_threshold(np.array([0.9, 0.1]), np.array([False, False])) == (0.5, 0.0)
    assert best_threshold(np.zeros(0), np.zeros(0, dtype=bool)) == (0.5, 0.0)


def test_a_rare_label_shares_the_threshold_that_is_best_for_all():
    rng = np.random.default_rng(5)
    gold = np.zeros((60, 3), dtype=bool)
    # The third has just enough rows for a threshold of its own.
    gold[:20, 0], gold[: LEAST_POSITIVES - 1, 1], gold[10 : 10 + LEAST_POSITIVES, 2] = True, True, True
    probabilities = np.clip(gold * 0.3 + rng.random(gold.shape) * 0.6, 0, 1)
    first, rare, third = fit_thresholds(probabilities, gold)
    common, micro = best_threshold(probabilities.ravel(), gold.ravel())
    assert rare == common
    assert micro == pytest.approx(f1_score(gold, probabilities >= common, average="micro"))
    assert first == best_threshold(probabilities[:, 0], gold[:, 0])[0] != common
    assert third == best_threshold(probabilities[:, 2], gold[:, 2])[0] != common
