"""Arms with the scores of their trainings, on the test rows as they are and on resampled ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from whylabel.evaluation.arms import Arm, ComparedRows, Training
from whylabel.evaluation.bootstrap import Floats, Ints, distinct_outcomes, resampled_values
from whylabel.evaluation.metrics import NO_LABEL, macro_f1
from whylabel.evaluation.multi_label import f1_scores
from whylabel.evaluation.over_seeds import Scores
from whylabel.text.labels import LabelSet

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ScoredArm:
    """An arm with the scores of its trainings on so many rows.

    `observed` has the shape (trainings, 2), `resampled` (samples, trainings, 2): accuracy or micro-F1, then macro-F1.
    `right` says which rows each training labelled correctly; None if a text may have several labels.
    """

    arm: Arm
    rows: int
    observed: Floats
    resampled: Floats
    right: list[Bools] | None

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """The seeds of the trainings."""
        return tuple(training.seed for training in self.arm.trainings)

    @property
    def once(self) -> bool:
        """Whether it was trained once."""
        return len(self.observed) == 1

    def scores(self, place: int) -> Scores:
        """Return the first score (place 0) or the second."""
        return Scores(self.observed[:, place], self.resampled[:, :, place])


def scored_arms(rows: ComparedRows, arms: Sequence[Arm], samples: int, seed: int) -> list[ScoredArm]:
    """Return the arms with their scores; the rows are resampled once for all of them."""
    measured = _measured(rows, [training for arm in arms for training in arm.trainings])
    resampled = resampled_values(measured.counts, measured.statistic, samples, seed)
    observed = measured.statistic(measured.counts[None, :].astype(float))[0]
    bounds = np.cumsum([0, *(len(arm.trainings) for arm in arms)])
    parts = [slice(int(low), int(high)) for low, high in pairwise(bounds)]
    return [
        ScoredArm(
            arm, len(rows.ids), observed[part], resampled[:, part], measured.right and measured.right[part]
        )
        for arm, part in zip(arms, parts, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Measured:
    """The trainings on the test rows; `statistic` maps counts of outcomes, (m, outcomes), to (m, trainings, 2)."""

    counts: Ints
    statistic: Callable[[Floats], Floats]
    right: list[Bools] | None


def _measured(rows: ComparedRows, trainings: Sequence[Training]) -> _Measured:
    labels = LabelSet(rows.labels)
    said = [training.answers.labels for training in trainings]
    if rows.separator is not None:
        gold = rows.separator.matrix(rows.gold, labels)
        # A failed prediction has none of its labels.
        found = [rows.separator.matrix([label or "" for label in one], labels) for one in said]

        def f1(weights: Floats) -> Floats:
            return np.stack([f1_scores(weights, gold, one) for one in found], axis=1)

        return _Measured(np.ones(len(rows.gold), dtype=np.int64), f1, None)

    places = {name: place for place, name in enumerate(labels.names)}
    truth = np.array([labels.index(label) for label in rows.gold], dtype=np.int64)
    answers = [
        np.array([NO_LABEL if label is None else places[label] for label in one], dtype=np.int64)
        for one in said
    ]
    (cells, *cells_said), counts = distinct_outcomes(truth, *answers)

    def scores(weights: Floats) -> Floats:
        accuracies = [weights @ (one == cells) / len(truth) for one in cells_said]
        f1 = [macro_f1(weights, cells, one, len(labels)) for one in cells_said]
        return np.stack([np.stack(accuracies, axis=1), np.stack(f1, axis=1)], axis=2)

    return _Measured(counts, scores, [one == truth for one in answers])
