"""Which rows a person should see: errors caught against the share reviewed, by how doubtful each prediction is.

The most doubtful rows are reviewed first, and a reviewed row is right afterwards. Rows that are equally doubtful are
in no order: figures are the mean over all of their orders, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whylabel.evaluation.bootstrap import Floats, Interval, Ints, distinct_outcomes, percentile_intervals
from whylabel.evaluation.predictions import PredictionRow
from whylabel.prediction.doubt import Signal, doubt
from whylabel.prediction.multi_label import MultiLabel
from whylabel.text.labels import LabelSet
from whylabel.types import Mode

Bools = NDArray[np.bool_]

SHARES = tuple(percent / 100 for percent in range(101))
"""The shares of rows reviewed at which `Review.caught` is given."""

# Intervals take as many steps of doubt as this: their cost does not grow with the rows.
_STEPS = 100


@dataclass(frozen=True, slots=True)
class NeededShare:
    """The smallest share of rows to review that leaves at most this share of all rows wrong, with its interval."""

    error_rate: float
    share: float
    ci95: Interval


@dataclass(frozen=True, slots=True)
class Review:
    """Review by one signal, of the classifier's predictions in its default mode.

    `caught` is the share of the `errors` among the rows reviewed first, at each of `SHARES`. `aurc` is the area under
    the risk-coverage curve (Geifman and El-Yaniv 2017, arXiv 1705.08500): the mean, over all numbers of rows left to
    the model, of the share of wrong ones among them; 0 is best, and review in any order has the share of errors.
    `best_aurc` is that of a review which knows the errors. Intervals are bootstrap percentiles over rows.
    """

    signal: Signal
    mode: Mode
    n: int
    errors: int
    aurc: float
    aurc_ci95: Interval
    best_aurc: float
    caught: tuple[float, ...]
    needed: tuple[NeededShare, ...]


def review(
    predictions: Mapping[tuple[str, Mode], Sequence[PredictionRow]],
    default: Mode,
    labels: LabelSet,
    multi_label: MultiLabel | None,
    error_rates: Sequence[float],
    *,
    bootstrap_samples: int,
    seed: int,
) -> tuple[Review, ...]:
    """Return the review by each signal that the predictions know; `error_rates` are the shares of errors wanted.

    Fast and reasoned disagree where their labels differ, if both were evaluated; else as the predictions say.
    """
    rows = predictions["classifier", default]
    wrong = np.array([not row.right for row in rows])
    disagrees = _disagreement(predictions, rows)
    signals: tuple[Signal, ...] = ("probability", "disagreement", "both")
    if all(known is None for known in disagrees):
        signals = ("probability",)
    found = []
    for signal in signals:
        doubts = np.array(
            [
                doubt(row.prediction, signal, labels, multi_label, disagrees=known)
                for row, known in zip(rows, disagrees, strict=True)
            ]
        )
        found.append(_review(signal, default, doubts, wrong, error_rates, bootstrap_samples, seed))
    return tuple(found)


def _review(
    signal: Signal,
    mode: Mode,
    doubts: Floats,
    wrong: Bools,
    error_rates: Sequence[float],
    samples: int,
    seed: int,
) -> Review:
    _, steps = np.unique(doubts, return_inverse=True)
    cells, counts = distinct_outcomes(_joined(steps), wrong.astype(np.int64))

    def figures(weights: Floats) -> Floats:
        rows, errors = _by_step(weights, cells[0], cells[1])
        needed = [needed_share(rows, errors, rate) for rate in error_rates]
        return np.column_stack([aurc(rows, errors), *needed])

    intervals = percentile_intervals(counts, figures, samples, seed)
    rows, errors = _by_step(np.ones((1, len(wrong))), steps, wrong.astype(np.int64))
    total = int(wrong.sum())
    best = np.array([[len(wrong) - total, total]], dtype=float), np.array([[0, total]], dtype=float)
    return Review(
        signal=signal,
        mode=mode,
        n=len(wrong),
        errors=total,
        aurc=float(aurc(rows, errors)[0]),
        aurc_ci95=intervals[0],
        best_aurc=float(aurc(*best)[0]),
        caught=tuple(map(float, caught(rows[0], errors[0]))),
        needed=tuple(
            NeededShare(rate, float(needed_share(rows, errors, rate)[0]), interval)
            for rate, interval in zip(error_rates, intervals[1:], strict=True)
        ),
    )


def aurc(rows: Floats, errors: Floats) -> Floats:
    """Return the area under each risk-coverage curve, shape (m,), from the rows and errors of each step of doubt.

    Both have the shape (m, steps), the least doubtful step first. Within a step, errors are spread
    evenly: with A errors among B rows before it, a step of c rows with e errors adds the sum over j = 1 .. c of
    (A + e j / c) / (B + j), which is (A - B e / c) (H(B + c) - H(B)) + e, with the harmonic numbers H.
    """
    from scipy.special import digamma

    before_rows, before_errors = np.cumsum(rows, axis=1) - rows, np.cumsum(errors, axis=1) - errors
    rate = np.divide(errors, rows, out=np.zeros_like(errors), where=rows > 0)
    harmonic = digamma(before_rows + rows + 1) - digamma(before_rows + 1)
    sums = (before_errors - before_rows * rate) * harmonic + errors
    return np.asarray(sums.sum(axis=1) / rows.sum(axis=1))


def needed_share(rows: Floats, errors: Floats, error_rate: float) -> Floats:
    """Return the smallest share of rows to review that leaves at most `error_rate` of all rows wrong, shape (m,).

    `rows` and `errors` as in `aurc`; the most doubtful step is reviewed first.
    """
    total = rows.sum(axis=1)
    to_catch = errors.sum(axis=1) - error_rate * total
    reviewed, found = np.cumsum(rows[:, ::-1], axis=1), np.cumsum(errors[:, ::-1], axis=1)
    # Rounding must not move the step in which the last wanted error is caught.
    step = (found >= to_catch[:, None] - 1e-9).argmax(axis=1)
    line = np.arange(len(total))
    in_step, errors_in_step = rows[:, ::-1][line, step], errors[:, ::-1][line, step]
    rest = to_catch - (found[line, step] - errors_in_step)
    part = np.divide(rest, errors_in_step, out=np.zeros_like(rest), where=errors_in_step > 0)
    share = (reviewed[line, step] - in_step + in_step * part) / total
    return np.where(to_catch > 0, np.clip(share, 0.0, 1.0), 0.0)


def caught(rows: Floats, errors: Floats) -> Floats:
    """Return the share of errors among the rows reviewed first, at each of `SHARES`; shape (steps,), as in `aurc`.

    Without errors, nothing is left to catch: all shares are 1.
    """
    if not errors.sum():
        return np.ones(len(SHARES))
    reviewed = np.concatenate([[0.0], np.cumsum(rows[::-1])]) / rows.sum()
    found = np.concatenate([[0.0], np.cumsum(errors[::-1])]) / errors.sum()
    return np.asarray(np.interp(SHARES, reviewed, found))


def _by_step(weights: Floats, steps: Ints, wrong: Ints) -> tuple[Floats, Floats]:
    """Return rows and errors of each step, shape (m, steps), from `weights`: counts of (step, wrong) pairs."""
    from scipy.sparse import csr_array

    ones, places = np.ones(len(steps)), np.arange(len(steps))
    belongs = csr_array((ones, (places, steps)), shape=(len(steps), int(steps.max()) + 1))
    return np.asarray(weights @ belongs), np.asarray((weights * wrong) @ belongs)


def _joined(steps: Ints) -> Ints:
    """Return the step of each row, 0 for the least doubtful; neighbours are one where intervals need no more."""
    counts = np.bincount(steps)
    if len(counts) <= _STEPS:
        return steps
    before = np.cumsum(counts) - counts
    _, joined = np.unique(before[steps] * _STEPS // len(steps), return_inverse=True)
    return np.asarray(joined, dtype=np.int64)


def _disagreement(
    predictions: Mapping[tuple[str, Mode], Sequence[PredictionRow]], rows: Sequence[PredictionRow]
) -> list[bool | None]:
    fast, reasoned = (predictions.get(("classifier", mode)) for mode in ("fast", "reasoned"))
    if not fast or not reasoned:
        return [row.prediction.disagrees for row in rows]
    first, second = ({row.prediction.id: _answer(row) for row in side} for side in (fast, reasoned))

    def differ(row_id: str) -> bool | None:
        labels = first.get(row_id), second.get(row_id)
        return None if None in labels else labels[0] != labels[1]

    return [differ(row.prediction.id) for row in rows]


def _answer(row: PredictionRow) -> str | None:
    return None if row.prediction.status == "failed" else row.prediction.label
