"""One model's score, against numbers worked out by hand and scikit-learn's."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from whylabel.errors import DataError, LabelError
from whylabel.evaluation.calibration import expected_calibration_error, negative_log_likelihood
from whylabel.evaluation.metrics import ModelScore, in_test_order, score, wilson_interval
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Prediction

LABELS = LabelSet(("a", "b", "c"))
ONE_HOT = {"a": (1.0, 0.0, 0.0), "b": (0.0, 1.0, 0.0), "c": (0.0, 0.0, 1.0)}


def rows(gold: str) -> list[Example]:
    return [Example(str(i), f"text {i}", label) for i, label in enumerate(gold)]


def said(labels: str) -> list[Prediction]:
    """One prediction a letter; '-' is a failed one."""
    return [
        Prediction(str(i), "", (), status="failed", error="out of memory")
        if label == "-"
        else Prediction(str(i), label, ONE_HOT[label], seconds=0.5, tokens=4)
        for i, label in enumerate(labels)
    ]


def scored(gold: str, labels: str, label_set: LabelSet = LABELS) -> ModelScore:
    return score(rows(gold), said(labels), label_set, bootstrap_samples=500, seed=3)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_interval(right: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_the_share_rises_with_it_and_narrows_with_more_rows(
    counts: tuple[int, int],
) -> None:
    right, n = counts
    low, high = wilson_interval(right, n)
    assert 0 <= low <= right / n <= high <= 1 and low < high
    mirrored = wilson_interval(n - right, n)
    assert mirrored == pytest.approx((1 - high, 1 - low))
    if right < n:
        above = wilson_interval(right + 1, n)
        assert above[0] > low and above[1] > high
    narrower = wilson_interval(10 * right, 10 * n)
    assert narrower[1] - narrower[0] < high - low


def test_scores_by_hand() -> None:
    result = scored("aaabbc", "aabbcc")
    assert result.n == 6
    assert result.accuracy == pytest.approx(4 / 6)
    assert result.confusion_matrix == ((2, 1, 0), (0, 1, 1), (0, 0, 1))
    a, b, c = (result.per_class[name] for name in "abc")
    assert (a.precision, a.recall, a.f1, a.support, a.predicted) == pytest.approx((1, 2 / 3, 0.8, 3, 2))
    assert (b.precision, b.recall, b.f1, b.support, b.predicted) == pytest.approx((0.5, 0.5, 0.5, 2, 2))
    assert (c.precision, c.recall, c.f1, c.support, c.predicted) == pytest.approx((0.5, 1, 2 / 3, 1, 2))
    assert result.macro_f1 == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    low, high = result.macro_f1_ci95
    assert 0 <= low <= result.macro_f1 <= high <= 1


def test_a_failed_prediction_is_wrong_and_counted() -> None:
    result = scored("aabb", "a-bb")
    assert result.accuracy == 0.75
    assert result.rates.failed == 0.25
    assert result.confusion_matrix == ((1, 0, 0), (0, 2, 0), (0, 0, 0))
    assert result.per_class["a"].support == 2
    assert result.per_class["a"].recall == 0.5


def test_macro_f1_leaves_out_labels_that_do_not_occur() -> None:
    # c has neither gold nor predicted rows; with it at zero the mean would be 2/3.
    assert scored("aabb", "aabb").macro_f1 == 1.0
    # c is predicted but never gold: F1 = 0 counts.
    assert scored("aabb", "aabc").macro_f1 == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_macro_f1_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    gold, labels = ("".join(rng.choice(list("abc"), 200)) for _ in range(2))
    expected = f1_score(list(gold), list(labels), average="macro")
    assert scored(gold, labels).macro_f1 == pytest.approx(expected)


def test_bootstrap_interval_matches_resampling_of_rows() -> None:
    rng = np.random.default_rng(1)
    gold, labels = np.array(list("aaabbbccab" * 8)), np.array(list("aabbbcccab" * 8))
    direct = []
    for _ in range(2000):
        drawn = rng.integers(0, len(gold), len(gold))
        direct.append(f1_score(gold[drawn], labels[drawn], average="macro"))
    result = score(rows("".join(gold)), said("".join(labels)), LABELS, bootstrap_samples=10_000, seed=5)
    assert result.macro_f1_ci95 == pytest.approx(np.percentile(direct, [2.5, 97.5]), abs=0.015)


def test_same_seed_same_interval() -> None:
    assert scored("aaabbc", "aabbcc") == scored("aaabbc", "aabbcc")


def test_rates_and_cost() -> None:
    test = rows("abbb")
    predictions = [
        Prediction("0", "a", ONE_HOT["a"], "r", "reasoned", "reasoning_cut", seconds=1.0, tokens=30),
        Prediction("1", "b", ONE_HOT["b"], "r", "reasoned", "truncated", seconds=2.0, tokens=10),
        Prediction("2", "b", ONE_HOT["b"], "r", "reasoned", "label_forced", seconds=2.0, tokens=20),
        Prediction("3", "b", ONE_HOT["b"], "r", "reasoned", "label_forced", seconds=1.0, tokens=20),
    ]
    result = score(test, predictions, LABELS, bootstrap_samples=100, seed=0)
    assert result.mode == "reasoned"
    assert (result.rates.reasoning_cut, result.rates.truncated, result.rates.failed) == (0.25, 0.25, 0)
    assert result.rates.label_forced == 0.5
    assert (result.cost.seconds_per_row, result.cost.tokens_per_row) == (1.5, 20)
    assert result.cost.seconds_total == 6.0


def test_calibration_by_hand() -> None:
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4]])
    gold, predicted = np.array([0, 1]), np.array([0, 0])
    expected = -(math.log(0.8) + math.log(0.4)) / 2
    assert negative_log_likelihood(probabilities, gold) == pytest.approx(expected)
    # Two bins: |1 - 0.8| and |0 - 0.6|, a row each.
    assert expected_calibration_error(probabilities, predicted, gold) == pytest.approx(0.4)


def test_calibration_stays_finite_and_is_none_without_probabilities() -> None:
    wrong = score(rows("a"), [Prediction("0", "b", ONE_HOT["b"])], LABELS, bootstrap_samples=100, seed=0)
    assert wrong.negative_log_likelihood == pytest.approx(-math.log(np.finfo(float).eps))
    failed = scored("aa", "--")
    assert failed.negative_log_likelihood is None
    assert failed.expected_calibration_error is None
    assert failed.macro_f1 == 0
    assert json.dumps(failed.accuracy_ci95, allow_nan=False)


def test_predictions_are_joined_by_id() -> None:
    test, predictions = rows("abc"), said("abc")
    shuffled = [predictions[2], predictions[0], predictions[1]]
    assert in_test_order(test, shuffled) == tuple(predictions)
    # Those that are in order are not copied: there may be very many.
    assert in_test_order(test, predictions) is predictions


@pytest.mark.parametrize(
    ("test", "predictions", "message"),
    [
        ([], [], "no test rows"),
        (rows("ab"), said("a"), "1 rows without a prediction"),
        (rows("a"), said("ab"), "1 predictions without a row"),
        (rows("a"), said("a") * 2, "more than once among the predictions"),
        (rows("a") * 2, said("a"), "more than once among the test rows"),
    ],
)
def test_differing_ids_are_an_error(test: list[Example], predictions: list[Prediction], message: str) -> None:
    with pytest.raises(DataError, match=message):
        in_test_order(test, predictions)


def test_a_label_outside_the_set_is_an_error() -> None:
    with pytest.raises(LabelError, match="Unknown label 'd'"):
        score(rows("a"), [Prediction("0", "d", ())], LABELS, bootstrap_samples=100, seed=0)


def test_mixed_modes_are_an_error() -> None:
    predictions = [Prediction("0", "a", ONE_HOT["a"]), Prediction("1", "a", ONE_HOT["a"], mode="reasoned")]
    with pytest.raises(DataError, match="several modes"):
        score(rows("aa"), predictions, LABELS, bootstrap_samples=100, seed=0)


def test_coverage_by_hand() -> None:
    chances = [(0.5, 0.3, 0.2), (0.2, 0.7, 0.1), (0.05, 0.05, 0.9), (0.96, 0.02, 0.02)]
    predictions = [Prediction(str(i), "abca"[i], row) for i, row in enumerate(chances)]
    predictions.append(Prediction("4", "", (), status="failed"))
    curve = score(rows("bbcab"), predictions, LABELS, bootstrap_samples=100, seed=1).coverage
    found = {point.threshold: (point.coverage, point.accuracy) for point in curve}
    assert found[0.0] == found[0.5] == (0.8, 0.75)
    assert found[0.6] == found[0.7] == (0.6, 1.0)
    assert found[0.8] == found[0.9] == (0.4, 1.0)
    assert found[0.95] == (0.2, 1.0)
    assert found[0.99] == (0.0, None)
