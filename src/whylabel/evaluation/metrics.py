"""How good one model is on the test rows: accuracy, macro-F1, confusion, calibration, rates and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whylabel.errors import DataError
from whylabel.evaluation.abstention import Guarantee, guarantees
from whylabel.evaluation.bootstrap import (
    Floats,
    Interval,
    Ints,
    distinct_outcomes,
    percentile_intervals,
)
from whylabel.evaluation.calibration import expected_calibration_error, negative_log_likelihood
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Mode, Prediction

NO_LABEL = -1
"""Label index of a failed prediction; it equals no gold label."""

_THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One label: `support` gold rows, `predicted` rows; a ratio with denominator 0 is 0."""

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of all rows by status.

    `reasoning_cut` and `label_forced`: the model did not write the label marker. `reasoning_failed`: mode `adaptive`
    answered without the reasoning that it had asked for.
    """

    reasoning_cut: float
    label_forced: float
    truncated: float
    failed: float
    reasoning_failed: float = 0.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Time (a row's share of its batch) and generated tokens of the predictions; p50 and p95 are quantiles."""

    seconds_per_row: float
    tokens_per_row: float
    seconds_total: float
    seconds_p50: float
    seconds_p95: float


@dataclass(frozen=True, slots=True)
class Covered:
    """The effect of abstaining below a probability: `coverage` is the share of all rows that still get a label.

    `accuracy` is the accuracy on these rows, None if there are none. Failed rows are never covered.
    """

    threshold: float
    coverage: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class ModelScore:
    """One model on the test rows. A failed prediction counts as wrong.

    `accuracy_ci95` is Wilson's score interval, `macro_f1_ci95` a bootstrap percentile interval. With few rows per
    label, resampled F1 and its interval are biased low. `confusion_matrix` has gold labels as rows and predicted
    labels as columns, in label order, without failed predictions. The two calibration figures exclude failed rows,
    and are None if no row has probabilities.
    """

    n: int
    mode: Mode
    accuracy: float
    accuracy_ci95: Interval
    macro_f1: float
    macro_f1_ci95: Interval
    per_class: dict[str, ClassScore]
    confusion_matrix: tuple[tuple[int, ...], ...]
    negative_log_likelihood: float | None
    expected_calibration_error: float | None
    coverage: tuple[Covered, ...]
    abstention: tuple[Guarantee, ...]
    rates: Rates
    cost: Cost


def score(
    test: Sequence[Example],
    predictions: Sequence[Prediction],
    label_set: LabelSet,
    *,
    bootstrap_samples: int,
    seed: int,
) -> ModelScore:
    """Score one model's predictions, joined to the test rows by id.

    Raises `DataError` if the ids are not those of the test rows, `LabelError` if a label is outside the set.
    """
    predictions = in_test_order(test, predictions)
    mode = mode_of(predictions)
    gold = gold_indices(test, label_set)
    predicted = label_indices(predictions, label_set)
    confusion = confusion_matrix(gold, predicted, len(label_set))
    macro, macro_ci95 = _macro_f1_with_interval(gold, predicted, len(label_set), bootstrap_samples, seed)
    likelihood, calibration = _calibration(predictions, predicted, gold, len(label_set))
    right = int((gold == predicted).sum())
    return ModelScore(
        n=len(test),
        mode=mode,
        accuracy=right / len(test),
        accuracy_ci95=wilson_interval(right, len(test)),
        macro_f1=macro,
        macro_f1_ci95=macro_ci95,
        per_class=_per_class(confusion, gold, label_set),
        confusion_matrix=tuple(tuple(int(cell) for cell in row) for row in confusion),
        negative_log_likelihood=likelihood,
        expected_calibration_error=calibration,
        coverage=coverage_curve(predictions, predicted == gold),
        abstention=guarantees(_confidence(predictions), predicted == gold),
        rates=rates_of(predictions),
        cost=cost_of(predictions),
    )


def mode_of(predictions: Sequence[Prediction]) -> Mode:
    """Return the common mode of a model's predictions. Raises `DataError` if they have several modes."""
    modes = {prediction.mode for prediction in predictions}
    if len(modes) > 1:
        raise DataError(
            f"The predictions of one model have several modes: {', '.join(sorted(modes))}.",
            fix="evaluate each mode separately",
        )
    return modes.pop()


def in_test_order(test: Sequence[Example], predictions: Sequence[Prediction]) -> Sequence[Prediction]:
    """Return the predictions in the order of the test rows; the same sequence if they are in it already.

    Raises `DataError` if there are no rows, an id occurs twice or the ids differ.
    """
    if not test:
        raise DataError(
            "There are no test rows to evaluate on.", fix="give a test split, or data.test_fraction"
        )
    wanted, given = [row.id for row in test], [prediction.id for prediction in predictions]
    for kind, ids in (("test rows", wanted), ("predictions", given)):
        repeated = [name for name, count in Counter(ids).items() if count > 1]
        if repeated:
            raise DataError(
                f"{len(repeated)} ids occur more than once among the {kind}: {_first_ids(repeated)}.",
                fix="give every row its own id",
            )
    if given == wanted:
        return predictions
    places = {row_id: place for place, row_id in enumerate(given)}
    missing = [row_id for row_id in wanted if row_id not in places]
    foreign = sorted(places.keys() - set(wanted))
    if missing or foreign:
        raise DataError(
            f"Predictions and test rows differ: {len(missing)} rows without a prediction"
            f" ({_first_ids(missing)}), {len(foreign)} predictions without a row ({_first_ids(foreign)}).",
            fix="predict exactly the test rows, and compare by the same ids",
        )
    return tuple(predictions[places[row_id]] for row_id in wanted)


def gold_indices(test: Sequence[Example], label_set: LabelSet) -> Ints:
    """Return each row's gold label as its position in the label set."""
    return np.array([label_set.index(row.label) for row in test], dtype=np.int64)


def label_indices(predictions: Sequence[Prediction], label_set: LabelSet) -> Ints:
    """Return each predicted label as its position in the label set, `NO_LABEL` where prediction failed."""
    return np.array(
        [NO_LABEL if p.status == "failed" else label_set.index(p.label) for p in predictions],
        dtype=np.int64,
    )


def wilson_interval(right: int, n: int) -> Interval:
    """Return the 95 % score interval of a share (Wilson 1927, JASA 22:209)."""
    from scipy.stats import binomtest

    interval = binomtest(right, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def macro_f1(weights: Floats, gold: Ints, predicted: Ints, labels: int) -> Floats:
    """Return the macro-F1 for each row of `weights`, shape (m, outcomes), counts of (gold, predicted) pairs.

    A label with neither gold nor predicted rows has no F1 and is left out of the mean, as in scikit-learn's
    `f1_score(gold, predicted, average="macro")`; one with only gold or only predicted rows has F1 = 0.
    """
    names = np.arange(labels)
    is_gold = (gold[:, None] == names).astype(float)
    is_predicted = (predicted[:, None] == names).astype(float)
    either = weights @ (is_gold + is_predicted)
    both = weights @ (is_gold * is_predicted)
    present = either > 0
    f1 = np.divide(2 * both, either, out=np.zeros_like(either), where=present)
    means: Floats = f1.sum(axis=1) / present.sum(axis=1)
    return means


def coverage_curve(predictions: Sequence[Prediction], right: NDArray[np.bool_]) -> tuple[Covered, ...]:
    """Return coverage and accuracy at each threshold, without the predictions below it."""
    best = _confidence(predictions)
    curve = []
    for threshold in _THRESHOLDS:
        kept = best >= threshold
        accuracy = float(right[kept].mean()) if kept.any() else None
        curve.append(Covered(threshold, float(kept.mean()), accuracy))
    return tuple(curve)


def _confidence(predictions: Sequence[Prediction]) -> Floats:
    """Return the best probability of each row, -1 where a prediction failed."""
    return np.array([max(row.probabilities, default=-1.0) for row in predictions])


def confusion_matrix(gold: Ints, predicted: Ints, labels: int) -> NDArray[np.int64]:
    """Return counts, shape (labels, labels): gold labels in rows, predicted labels in columns, no failed rows."""
    matrix = np.zeros((labels, labels), dtype=np.int64)
    done = predicted != NO_LABEL
    np.add.at(matrix, (gold[done], predicted[done]), 1)
    return matrix


def _macro_f1_with_interval(
    gold: Ints, predicted: Ints, labels: int, samples: int, seed: int
) -> tuple[float, Interval]:
    (cell_gold, cell_predicted), counts = distinct_outcomes(gold, predicted)

    def statistic(weights: Floats) -> Floats:
        return macro_f1(weights, cell_gold, cell_predicted, labels)[:, None]

    (interval,) = percentile_intervals(counts, statistic, samples, seed)
    return float(statistic(counts[None, :].astype(float))[0, 0]), interval


def _per_class(confusion: NDArray[np.int64], gold: Ints, label_set: LabelSet) -> dict[str, ClassScore]:
    # Support is counted from the gold labels: rows with a failed prediction are not in the matrix.
    supports = np.bincount(gold, minlength=len(label_set))
    scores = {}
    for position, name in enumerate(label_set.names):
        right = int(confusion[position, position])
        support, predicted = int(supports[position]), int(confusion[:, position].sum())
        scores[name] = ClassScore(
            precision=right / predicted if predicted else 0.0,
            recall=right / support if support else 0.0,
            f1=2 * right / (support + predicted) if support + predicted else 0.0,
            support=support,
            predicted=predicted,
        )
    return scores


def _calibration(
    predictions: Sequence[Prediction], predicted: Ints, gold: Ints, labels: int
) -> tuple[float | None, float | None]:
    kept = [
        position
        for position, prediction in enumerate(predictions)
        if prediction.status != "failed" and len(prediction.probabilities) == labels
    ]
    if not kept:
        return None, None
    probabilities = np.array([predictions[position].probabilities for position in kept], dtype=float)
    rows = np.array(kept)
    return (
        negative_log_likelihood(probabilities, gold[rows]),
        expected_calibration_error(probabilities, predicted[rows], gold[rows]),
    )


def rates_of(predictions: Sequence[Prediction]) -> Rates:
    """Return the shares of rows by status."""
    counts = Counter(prediction.status for prediction in predictions)
    n = len(predictions)
    return Rates(
        reasoning_cut=counts["reasoning_cut"] / n,
        label_forced=counts["label_forced"] / n,
        truncated=counts["truncated"] / n,
        failed=counts["failed"] / n,
        reasoning_failed=counts["reasoning_failed"] / n,
    )


def cost_of(predictions: Sequence[Prediction]) -> Cost:
    """Return the time and tokens of the predictions."""
    each = [prediction.seconds for prediction in predictions]
    seconds = float(sum(each))
    p50, p95 = map(float, np.quantile(each, (0.5, 0.95)))
    tokens = sum(prediction.tokens for prediction in predictions)
    n = len(predictions)
    return Cost(seconds / n, tokens / n, seconds, p50, p95)


def _first_ids(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "") if ids else "none"
