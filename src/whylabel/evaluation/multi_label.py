"""Evaluation if a text may have several labels: F1 over single decisions."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whylabel.evaluation.bootstrap import Floats, Interval, Ints, percentile_intervals
from whylabel.evaluation.evaluate import Measures
from whylabel.evaluation.floors import WORDS, Learner, require_rows
from whylabel.evaluation.metrics import ClassScore, Cost, Rates, cost_of, in_test_order, mode_of, rates_of
from whylabel.prediction.calibration import LEAST_ROWS
from whylabel.prediction.multi_label import MultiLabel
from whylabel.prediction.thresholds import fit_thresholds
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator
from whylabel.types import Example, Mode, Prediction

Bools = NDArray[np.bool_]

_HELD_OUT = 0.2
# With fewer rows, holding rows out for thresholds costs more than the thresholds gain.
_LEAST_TRAIN_ROWS = 100


@dataclass(frozen=True, slots=True)
class MultiLabelScore:
    """One model on the test rows, scored by decisions: does this label apply to this text?

    `micro_f1` is over all decisions, `macro_f1` the mean over labels. Labels without gold and predicted rows are
    excluded from the mean, as in scikit-learn with `zero_division=nan`. The intervals are bootstrap percentiles
    over texts. `subset_accuracy` is the share of texts with exactly their gold labels, `hamming_loss` the share of
    wrong decisions. A failed prediction has none of its gold labels, and all its decisions count as wrong.
    """

    n: int
    mode: Mode
    micro_f1: float
    micro_f1_ci95: Interval
    macro_f1: float
    macro_f1_ci95: Interval
    subset_accuracy: float
    hamming_loss: float
    labels_per_text: float
    gold_labels_per_text: float
    per_class: dict[str, ClassScore]
    rates: Rates
    cost: Cost


@dataclass(frozen=True, slots=True)
class PairedF1:
    """Classifier minus baseline on the same rows, with paired bootstrap percentile intervals."""

    n: int
    micro_f1_difference: float
    micro_f1_difference_ci95: Interval
    macro_f1_difference: float
    macro_f1_difference_ci95: Interval


def measures_by_label(separator: Separator, validation: Sequence[Example] = ()) -> Measures:
    """Return the measures for `evaluate` if a text may have several labels.

    Floors and simple rivals fit their thresholds on the validation rows, as the models do.
    """
    return Measures(
        floors={
            "majority": partial(frequent, separator),
            "tfidf": partial(tfidf, separator, validation=validation),
        },
        score=partial(score, separator),
        compare=partial(compare_pair, separator),
        learnt=partial(learnt, separator, validation=validation),
    )


def score(
    separator: Separator,
    test: Sequence[Example],
    predictions: Sequence[Prediction],
    label_set: LabelSet,
    *,
    bootstrap_samples: int,
    seed: int,
) -> MultiLabelScore:
    """Score one model's predictions, joined to the test rows by id.

    Raises `DataError` if the ids are not those of the test rows, `LabelError` if a label is outside the set.
    """
    predictions = in_test_order(test, predictions)
    gold, predicted = (
        _gold_matrix(separator, test, label_set),
        _predicted_matrix(separator, predictions, label_set),
    )
    failed = np.array([prediction.status == "failed" for prediction in predictions])
    wrong = (gold != predicted) | failed[:, None]

    def statistic(weights: Floats) -> Floats:
        return f1_scores(weights, gold, predicted)

    micro_ci95, macro_ci95 = percentile_intervals(_ones(test), statistic, bootstrap_samples, seed)
    micro, macro = statistic(np.ones((1, len(test))))[0]
    return MultiLabelScore(
        n=len(test),
        mode=mode_of(predictions),
        micro_f1=float(micro),
        micro_f1_ci95=micro_ci95,
        macro_f1=float(macro),
        macro_f1_ci95=macro_ci95,
        subset_accuracy=float((~wrong.any(axis=1)).mean()),
        hamming_loss=float(wrong.mean()),
        labels_per_text=float(predicted.sum(axis=1).mean()),
        gold_labels_per_text=float(gold.sum(axis=1).mean()),
        per_class=_per_class(gold, predicted, label_set),
        rates=rates_of(predictions),
        cost=cost_of(predictions),
    )


def compare_pair(
    separator: Separator,
    test: Sequence[Example],
    baseline: Sequence[Prediction],
    classifier: Sequence[Prediction],
    label_set: LabelSet,
    *,
    bootstrap_samples: int,
    seed: int,
) -> PairedF1:
    """Compare two models' predictions by row id.

    Raises `DataError` if the two do not hold exactly the ids of the test rows.
    """
    gold = _gold_matrix(separator, test, label_set)
    base, ours = (
        _predicted_matrix(separator, in_test_order(test, rows), label_set) for rows in (baseline, classifier)
    )

    def differences(weights: Floats) -> Floats:
        return f1_scores(weights, gold, ours) - f1_scores(weights, gold, base)

    micro_ci95, macro_ci95 = percentile_intervals(_ones(test), differences, bootstrap_samples, seed)
    micro, macro = differences(np.ones((1, len(test))))[0]
    return PairedF1(len(test), float(micro), micro_ci95, float(macro), macro_ci95)


def f1_scores(weights: Floats, gold: Bools, predicted: Bools) -> Floats:
    """Return (micro-F1, macro-F1) for each row of `weights`, shape (m, texts): the count of each text."""
    both = weights @ (gold & predicted)
    either = weights @ (gold.astype(float) + predicted)
    present = either > 0
    by_label = np.divide(2 * both, either, out=np.zeros_like(either), where=present)
    macro = by_label.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    micro = 2 * both.sum(axis=1) / np.maximum(either.sum(axis=1), 1)
    return np.stack([micro, macro], axis=1)


def frequent(
    separator: Separator,
    train: Sequence[Example],
    test: Sequence[Example],
    label_set: LabelSet,
    seed: int = 0,
) -> tuple[Prediction, ...]:
    """Predict the most frequent train labels for every row: as many as train texts have on average, at least one.

    Probabilities are the shares in train. Raises `DataError` without train rows.
    """
    require_rows(train)
    shares = _gold_matrix(separator, train, label_set).mean(axis=0)
    most = max(1, round(float(shares.sum())))
    chosen = sorted(np.argsort(-shares, kind="stable")[:most].tolist())
    label = separator.join(label_set.names[place] for place in chosen)
    return tuple(Prediction(row.id, label, tuple(map(float, shares))) for row in test)


def tfidf(
    separator: Separator,
    train: Sequence[Example],
    test: Sequence[Example],
    label_set: LabelSet,
    seed: int = 0,
    *,
    validation: Sequence[Example] = (),
) -> tuple[Prediction, ...]:
    """Predict with a logistic regression for each label on TF-IDF of words and word pairs, untuned; see `learnt`."""
    return learnt(separator, WORDS, train, test, label_set, seed, validation=validation)


def learnt(
    separator: Separator,
    learner: Learner,
    train: Sequence[Example],
    test: Sequence[Example],
    label_set: LabelSet,
    seed: int = 0,
    *,
    validation: Sequence[Example] = (),
) -> tuple[Prediction, ...]:
    """Predict with a simple model for each label that learns from the train rows.

    Its thresholds are fitted like those of the models, on the validation rows. Where there are fewer than 20, they
    are fitted on a fifth of the train rows that a first fit has not used, or with fewer than 100 train rows 0.5.
    Raises `DataError` without train rows.
    """
    require_rows(train)
    model = _one_vs_rest(learner, train, _gold_matrix(separator, train, label_set), seed)
    thresholds: tuple[float, ...] = ()
    if len(validation) >= LEAST_ROWS:
        found = model.predict_proba(learner.inputs(validation))
        thresholds = fit_thresholds(found, _gold_matrix(separator, validation, label_set))
    elif len(train) >= _LEAST_TRAIN_ROWS:
        held_out = set(random.Random(seed).sample(range(len(train)), round(_HELD_OUT * len(train))))
        seen = [row for place, row in enumerate(train) if place not in held_out]
        unseen = [row for place, row in enumerate(train) if place in held_out]
        first = _one_vs_rest(learner, seen, _gold_matrix(separator, seen, label_set), seed)
        found = first.predict_proba(learner.inputs(unseen))
        thresholds = fit_thresholds(found, _gold_matrix(separator, unseen, label_set))
    started = time.perf_counter()
    probabilities = model.predict_proba(learner.inputs(test))
    seconds = (time.perf_counter() - started) / max(1, len(test))
    limits = MultiLabel(separator, thresholds)
    return tuple(
        Prediction(row.id, limits.decided(label_set, chances), tuple(map(float, chances)), seconds=seconds)
        for row, chances in zip(test, probabilities, strict=True)
    )


def _one_vs_rest(learner: Learner, train: Sequence[Example], gold: Bools, seed: int) -> Any:
    """Return a fitted pipeline; a label without train rows gets probability 0."""
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    features, classifier = learner.steps(seed)
    model = make_pipeline(features, OneVsRestClassifier(classifier))
    with warnings.catch_warnings():
        # scikit-learn warns about labels that all rows or no rows have; that is expected here.
        warnings.simplefilter("ignore", UserWarning)
        model.fit(learner.inputs(train), gold.astype(int))
    return model


def _gold_matrix(separator: Separator, rows: Sequence[Example], label_set: LabelSet) -> Bools:
    return separator.matrix([row.label for row in rows], label_set)


def _predicted_matrix(separator: Separator, predictions: Sequence[Prediction], label_set: LabelSet) -> Bools:
    # A failed prediction has an empty label.
    return separator.matrix([prediction.label for prediction in predictions], label_set)


def _ones(test: Sequence[Example]) -> Ints:
    return np.ones(len(test), dtype=np.int64)


def _per_class(gold: Bools, predicted: Bools, label_set: LabelSet) -> dict[str, ClassScore]:
    scores = {}
    for place, name in enumerate(label_set.names):
        right = int((gold[:, place] & predicted[:, place]).sum())
        support, count = int(gold[:, place].sum()), int(predicted[:, place].sum())
        scores[name] = ClassScore(
            precision=right / count if count else 0.0,
            recall=right / support if support else 0.0,
            f1=2 * right / (support + count) if support + count else 0.0,
            support=support,
            predicted=count,
        )
    return scores
