"""Paired comparison: do classifier and baseline differ on the same rows by more than chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whylabel.evaluation.bootstrap import (
    Floats,
    Interval,
    distinct_outcomes,
    percentile_intervals,
)
from whylabel.evaluation.metrics import gold_indices, in_test_order, label_indices, macro_f1
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Prediction


@dataclass(frozen=True, slots=True)
class Discordant:
    """Rows that only one of the two models labelled correctly."""

    classifier_only_right: int
    baseline_only_right: int


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Classifier minus baseline on the same rows: shares from -1 to 1, bootstrap percentile intervals.

    `mcnemar_p` is the two-sided exact p-value that the two accuracies are equal.
    """

    n: int
    difference: float
    ci95: Interval
    mcnemar_p: float
    discordant: Discordant
    macro_f1_difference: float
    macro_f1_difference_ci95: Interval


def compare_pair(
    test: Sequence[Example],
    baseline: Sequence[Prediction],
    classifier: Sequence[Prediction],
    label_set: LabelSet,
    *,
    bootstrap_samples: int,
    seed: int,
) -> PairedComparison:
    """Compare two models' predictions by row id.

    Raises `DataError` if the two do not hold exactly the ids of the test rows.
    """
    gold = gold_indices(test, label_set)
    base = label_indices(in_test_order(test, baseline), label_set)
    ours = label_indices(in_test_order(test, classifier), label_set)
    (cell_gold, cell_base, cell_ours), counts = distinct_outcomes(gold, base, ours)
    gains = (cell_ours == cell_gold).astype(float) - (cell_base == cell_gold)

    def differences(weights: Floats) -> Floats:
        f1_ours = macro_f1(weights, cell_gold, cell_ours, len(label_set))
        f1_base = macro_f1(weights, cell_gold, cell_base, len(label_set))
        return np.stack([weights @ gains / len(gold), f1_ours - f1_base], axis=1)

    accuracy_ci95, macro_f1_ci95 = percentile_intervals(counts, differences, bootstrap_samples, seed)
    observed = differences(counts[None, :].astype(float))[0]
    discordant = Discordant(
        classifier_only_right=int(((ours == gold) & (base != gold)).sum()),
        baseline_only_right=int(((ours != gold) & (base == gold)).sum()),
    )
    return PairedComparison(
        n=len(gold),
        difference=float(observed[0]),
        ci95=accuracy_ci95,
        mcnemar_p=mcnemar_p(discordant.classifier_only_right, discordant.baseline_only_right),
        discordant=discordant,
        macro_f1_difference=float(observed[1]),
        macro_f1_difference_ci95=macro_f1_ci95,
    )


def mcnemar_p(first_only_right: int, second_only_right: int) -> float:
    """Return the exact two-sided p-value of McNemar's test, which treats discordant rows as fair coin flips.

    1 if no row is discordant. Source: McNemar 1947, Psychometrika 12:153, in its binomial form.
    """
    from scipy.stats import binomtest

    discordant = first_only_right + second_only_right
    if discordant == 0:
        return 1.0
    return float(binomtest(first_only_right, discordant, 0.5).pvalue)
