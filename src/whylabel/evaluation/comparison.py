"""The comparison of any arms on the same test rows: scores over seeds, every pair, corrected for their number.

One bootstrap covers everything: rows are drawn once for all trainings, and seeds within each arm, so that all
differences are paired by row, and those of arms with the same seeds by seed, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whylabel.errors import UsageError
from whylabel.evaluation.arms import Arm, ComparedRows, Training
from whylabel.evaluation.bootstrap import Floats, Interval, Ints, distinct_outcomes, resampled_values
from whylabel.evaluation.holm import holm
from whylabel.evaluation.metrics import NO_LABEL, macro_f1, wilson_interval
from whylabel.evaluation.multi_label import f1_scores
from whylabel.evaluation.paired import mcnemar_p
from whylabel.text.labels import LabelSet

LEVEL = 0.05
_POWER = 0.8


@dataclass(frozen=True, slots=True)
class SeedScore:
    """One score of an arm: its mean over trainings with its interval, each training's, and their standard deviation.

    `sd` is None for one training.
    """

    mean: float
    ci95: Interval
    by_training: tuple[float, ...]
    sd: float | None


@dataclass(frozen=True, slots=True)
class ArmScore:
    """An arm on the test rows. `score` is accuracy, or micro-F1 if a text may have several labels."""

    name: str
    model: str
    mode: str
    runs: tuple[str, ...]
    seeds: tuple[int | None, ...]
    score: SeedScore
    macro_f1: SeedScore
    seconds_per_row: float
    tokens_per_row: float


@dataclass(frozen=True, slots=True)
class Discordance:
    """Rows that only one of two models labelled correctly."""

    only_right: int
    against_only_right: int


@dataclass(frozen=True, slots=True)
class PairScore:
    """`arm` minus `against` on the same rows, from -1 to 1.

    `p` is two-sided: of the exact McNemar test, or of the bootstrap (`test`). `p_holm` is corrected for the number of
    pairs. `detectable` is the smallest true difference that a comparison like this one shows in four of five cases,
    at the level 0.05 before correction; None if the two never differed.
    """

    arm: str
    against: str
    difference: float
    ci95: Interval
    macro_f1_difference: float
    macro_f1_difference_ci95: Interval
    discordant: Discordance | None
    test: str
    p: float
    p_holm: float
    detectable: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All arms on the same rows, and pairs of them; `measure` names the score: `accuracy` or `micro_f1`."""

    n: int
    measure: str
    labels: tuple[str, ...]
    bootstrap_samples: int
    arms: tuple[ArmScore, ...]
    pairs: tuple[PairScore, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return asdict(self)


def compare_arms(
    rows: ComparedRows,
    arms: Sequence[Arm],
    *,
    bootstrap_samples: int,
    seed: int,
    against: str | None = None,
    pairs: Sequence[tuple[int, int]] | None = None,
) -> Comparison:
    """Compare every pair of arms, the later one minus the earlier one.

    `against`: compare each with the arm of this name alone; `pairs`: compare these alone, by the places of the arms.
    Raises `UsageError` if there are fewer than two arms, or none of that name.
    """
    names = [arm.name for arm in arms]
    if len(arms) < 2:
        raise UsageError(
            f"There is nothing to compare {names[0] if names else 'here'} with.",
            fix="name another run, or more models or modes: --model all, --mode all",
        )
    if against is not None and against not in names:
        raise UsageError(
            f"There is no {against!r} to compare with. There are: {'; '.join(names)}.",
            fix="name one of these",
        )
    measured = _measured(rows, [training for arm in arms for training in arm.trainings])
    resampled = resampled_values(measured.counts, measured.statistic, bootstrap_samples, seed)
    bounds = np.cumsum([0, *(len(arm.trainings) for arm in arms)])
    parts = [slice(int(low), int(high)) for low, high in pairwise(bounds)]
    drawn = _with_drawn_seeds(arms, [resampled[:, part] for part in parts], seed)
    observed = measured.observed
    n = len(rows.ids)
    scores = [
        _arm_score(arm, observed[part], resampled_arm, None if measured.right is None else n)
        for arm, part, resampled_arm in zip(arms, parts, drawn, strict=True)
    ]
    found = []
    for one, other in _pairs(names, against) if pairs is None else pairs:
        single = len(arms[one].trainings) == len(arms[other].trainings) == 1
        discordant = None
        if measured.right is not None and single:
            discordant = _discordance(measured.right[parts[one].start], measured.right[parts[other].start])
        difference = observed[parts[one]].mean(axis=0) - observed[parts[other]].mean(axis=0)
        found.append(_pair(names[one], names[other], difference, drawn[one] - drawn[other], discordant))
    corrected = holm([pair.p for pair in found])
    return Comparison(
        n=n,
        measure="micro_f1" if measured.right is None else "accuracy",
        labels=rows.labels,
        bootstrap_samples=bootstrap_samples,
        arms=tuple(scores),
        pairs=tuple(replace(pair, p_holm=p) for pair, p in zip(found, corrected, strict=True)),
    )


def bootstrap_p(differences: Floats) -> float:
    """Return twice the share of resampled differences on the rarer side of 0; never 0.

    Source: Efron & Tibshirani 1993, chapter 15.
    """
    rarer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(differences) + 1))


def detectable_difference(standard_error: float) -> float | None:
    """Return the smallest true difference that a two-sided test at 0.05 shows with a power of 0.8.

    Source: Bloom 1995, Minimum Detectable Effects, Evaluation Review 19:547: 2.80 standard errors.
    """
    from scipy.stats import norm

    if standard_error <= 0:
        return None
    return float((norm.ppf(1 - LEVEL / 2) + norm.ppf(_POWER)) * standard_error)


@dataclass(frozen=True, slots=True)
class _Measured:
    """The trainings on the test rows: `statistic` maps counts of outcomes, shape (m, outcomes), to (m, trainings, 2).

    `right` says which rows each training labelled correctly; None if a text may have several labels.
    """

    counts: Ints
    statistic: Callable[[Floats], Floats]
    right: list[NDArray[np.bool_]] | None

    @property
    def observed(self) -> Floats:
        """The scores on the rows as they are, shape (trainings, 2)."""
        scores: Floats = self.statistic(self.counts[None, :].astype(float))[0]
        return scores


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


def _with_drawn_seeds(arms: Sequence[Arm], resampled: Sequence[Floats], seed: int) -> list[Floats]:
    """Return each arm's resampled scores, shape (samples, 2), as means over seeds drawn with replacement.

    Of k seeds, k - 1 are drawn: with k, the variance between few seeds would be too small by the factor (k - 1) / k
    (Rao & Wu 1988, JASA 83:231). Arms with the same seeds are drawn alike: their trainings share rows and order, so
    they are compared in pairs.
    """
    rng = np.random.default_rng([seed, 1])
    draws: dict[tuple[int | None, ...], Ints] = {}
    found = []
    for arm, values in zip(arms, resampled, strict=True):
        samples, trainings, _ = values.shape
        seeds = tuple(training.seed for training in arm.trainings)
        if seeds not in draws:
            draws[seeds] = rng.integers(0, trainings, size=(samples, max(1, trainings - 1)))
        found.append(np.take_along_axis(values, draws[seeds][:, :, None], axis=1).mean(axis=1))
    return found


def _arm_score(arm: Arm, observed: Floats, resampled: Floats, n: int | None) -> ArmScore:
    """Return an arm's scores; `n` is the number of rows if the score is an accuracy."""
    first, second = (
        _seed_score(observed[:, place], resampled[:, place]) for place in range(observed.shape[1])
    )
    trainings = arm.trainings
    if n is not None and len(trainings) == 1:
        # The interval that evaluation and report give for one training, too.
        first = replace(first, ci95=wilson_interval(round(first.mean * n), n))
    rows = sum(len(training.answers.labels) for training in trainings)
    return ArmScore(
        name=arm.name,
        model=arm.model,
        mode=arm.mode,
        runs=tuple(training.run for training in trainings),
        seeds=tuple(training.seed for training in trainings),
        score=first,
        macro_f1=second,
        seconds_per_row=sum(training.answers.seconds for training in trainings) / rows,
        tokens_per_row=sum(training.answers.tokens for training in trainings) / rows,
    )


def _seed_score(observed: Floats, resampled: Floats) -> SeedScore:
    sd = float(observed.std(ddof=1)) if len(observed) > 1 else None
    return SeedScore(float(observed.mean()), _interval(resampled), tuple(map(float, observed)), sd)


def _interval(values: Floats) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _pairs(names: Sequence[str], against: str | None) -> list[tuple[int, int]]:
    if against is None:
        return [(later, earlier) for earlier, later in combinations(range(len(names)), 2)]
    fixed = names.index(against)
    return [(at, fixed) for at in range(len(names)) if at != fixed]


def _discordance(right: NDArray[np.bool_], against: NDArray[np.bool_]) -> Discordance:
    return Discordance(int((right & ~against).sum()), int((against & ~right).sum()))


def _pair(
    arm: str, against: str, observed: Floats, resampled: Floats, discordant: Discordance | None
) -> PairScore:
    """Return a pair, its p-value not yet corrected."""
    p = bootstrap_p(resampled[:, 0])
    if discordant is not None:
        p = mcnemar_p(discordant.only_right, discordant.against_only_right)
    return PairScore(
        arm=arm,
        against=against,
        difference=float(observed[0]),
        ci95=_interval(resampled[:, 0]),
        macro_f1_difference=float(observed[1]),
        macro_f1_difference_ci95=_interval(resampled[:, 1]),
        discordant=discordant,
        test="bootstrap" if discordant is None else "exact McNemar",
        p=p,
        p_holm=p,
        detectable=detectable_difference(float(resampled[:, 0].std(ddof=1))),
    )
