"""The paired comparison, against exact values."""

from __future__ import annotations

import pytest

from whylabel.errors import DataError
from whylabel.evaluation.paired import PairedComparison, compare_pair, mcnemar_p
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Prediction

LABELS = LabelSet(("a", "b"))


def rows(gold: str) -> list[Example]:
    return [Example(str(i), f"text {i}", label) for i, label in enumerate(gold)]


def said(labels: str) -> list[Prediction]:
    return [Prediction(str(i), label, ()) for i, label in enumerate(labels)]


def compared(gold: str, baseline: str, classifier: str) -> PairedComparison:
    return compare_pair(
        rows(gold), said(baseline), said(classifier), LABELS, bootstrap_samples=10_000, seed=7
    )


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(1, 9, 0.021484375), (9, 1, 0.021484375), (0, 0, 1.0), (5, 5, 1.0), (0, 6, 0.03125)],
)
def test_mcnemar_exact(first: int, second: int, p: float) -> None:
    assert mcnemar_p(first, second) == pytest.approx(p)


def test_difference_is_classifier_minus_baseline() -> None:
    # 20 rows: baseline alone right on 1, classifier alone right on 9, both right on 10.
    result = compared("a" * 20, "a" + "b" * 9 + "a" * 10, "b" + "a" * 9 + "a" * 10)
    assert result.n == 20
    assert result.difference == pytest.approx(0.4)
    assert result.mcnemar_p == pytest.approx(0.021484375)
    assert result.discordant.classifier_only_right == 9
    assert result.discordant.baseline_only_right == 1
    low, high = result.ci95
    # Normal approximation: 0.4 -+ 1.96 sqrt((0.5 - 0.16) / 20) = 0.144 .. 0.656.
    assert low == pytest.approx(0.144, abs=0.06)
    assert high == pytest.approx(0.656, abs=0.06)


def test_equal_models_differ_by_nothing() -> None:
    result = compared("abab", "abba", "abba")
    assert (result.difference, result.ci95, result.mcnemar_p) == (0, (0, 0), 1)
    assert (result.macro_f1_difference, result.macro_f1_difference_ci95) == (0, (0, 0))


def test_macro_f1_difference_by_hand() -> None:
    # Baseline says a throughout: F1 2/3 and 0; the classifier is right throughout.
    result = compared("aabb", "aaaa", "aabb")
    assert result.macro_f1_difference == pytest.approx(1 - 1 / 3)


def test_rows_are_paired_by_id_not_by_position() -> None:
    test, baseline, classifier = rows("abab"), said("abab"), said("abab")
    result = compare_pair(test, baseline, classifier[::-1], LABELS, bootstrap_samples=100, seed=0)
    assert result.difference == 0
    assert result.discordant.classifier_only_right == 0


def test_differing_ids_are_an_error() -> None:
    with pytest.raises(DataError, match="without a prediction"):
        compare_pair(rows("ab"), said("ab"), said("a"), LABELS, bootstrap_samples=100, seed=0)
