"""The comparison of any arms on the same test rows: scores over seeds, every pair, corrected for their number.

Rows are resampled once for all trainings, so that all differences are paired by row; those of arms with the
same seeds are paired by seed, too (`over_seeds`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whylabel.errors import UsageError
from whylabel.evaluation.arms import Arm, ComparedRows
from whylabel.evaluation.bootstrap import Floats, Interval
from whylabel.evaluation.holm import holm
from whylabel.evaluation.metrics import wilson_interval
from whylabel.evaluation.over_seeds import Scores, difference_of, mean_of
from whylabel.evaluation.paired import mcnemar_p
from whylabel.evaluation.scored import ScoredArm, scored_arms

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
    target: str | None = None
    """What a classifier was trained to write; None if it is not known, or of another model."""


@dataclass(frozen=True, slots=True)
class Discordance:
    """Rows that only one of two models labelled correctly."""

    only_right: int
    against_only_right: int


@dataclass(frozen=True, slots=True)
class PairScore:
    """`arm` minus `against` on the same rows, from -1 to 1.

    `p` is two-sided: of the exact McNemar test, of the bootstrap, or with several seeds of a t test, whose variance
    between seeds has so many `degrees_of_freedom` (`test`). `p_holm` is corrected for the number of pairs.
    `detectable` is the smallest true difference that a comparison like this one shows in four of five cases, at the
    level 0.05 before correction; None if the two never differed.
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
    degrees_of_freedom: float | None = None


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
    found = scored_arms(rows, arms, bootstrap_samples, seed)
    places = _pairs(names, against) if pairs is None else pairs
    compared = [_pair(found[one], found[other]) for one, other in places]
    corrected = holm([pair.p for pair in compared])
    return Comparison(
        n=len(rows.ids),
        measure="micro_f1" if found[0].right is None else "accuracy",
        labels=rows.labels,
        bootstrap_samples=bootstrap_samples,
        arms=tuple(_arm_score(one) for one in found),
        pairs=tuple(replace(pair, p_holm=p) for pair, p in zip(compared, corrected, strict=True)),
    )


def bootstrap_p(differences: Floats) -> float:
    """Return twice the share of resampled differences on the rarer side of 0; never 0.

    Source: Efron & Tibshirani 1993, chapter 15.
    """
    rarer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(differences) + 1))


def detectable_difference(
    standard_error: float, quantile: Callable[[float], float] | None = None
) -> float | None:
    """Return the smallest true difference that a two-sided test at 0.05 shows with a power of 0.8.

    Source: Bloom 1995, Minimum Detectable Effects, Evaluation Review 19:547: 2.80 standard errors, or what the
    quantiles of its distribution make of it. None if the standard error is 0.
    """
    from scipy.stats import norm

    if standard_error <= 0:
        return None
    quantile = quantile or norm.ppf
    return float((quantile(1 - LEVEL / 2) + quantile(_POWER)) * standard_error)


def _arm_score(scored: ScoredArm) -> ArmScore:
    first, second = (_seed_score(scored.scores(place), scored.rows) for place in (0, 1))
    if scored.right is not None and scored.once:
        # The interval that evaluation and report give for one training, too.
        first = replace(first, ci95=wilson_interval(int(scored.right[0].sum()), scored.rows))
    trainings = scored.arm.trainings
    answers = sum(len(training.answers.labels) for training in trainings)
    return ArmScore(
        name=scored.arm.name,
        model=scored.arm.model,
        mode=scored.arm.mode,
        runs=tuple(training.run for training in trainings),
        seeds=scored.seeds,
        score=first,
        macro_f1=second,
        seconds_per_row=sum(training.answers.seconds for training in trainings) / answers,
        tokens_per_row=sum(training.answers.tokens for training in trainings) / answers,
        target=scored.arm.target,
    )


def _seed_score(scores: Scores, rows: int) -> SeedScore:
    by_training = tuple(map(float, scores.observed))
    if len(scores) == 1:
        return SeedScore(by_training[0], _interval(scores.resampled[:, 0]), by_training, None)
    found = mean_of(scores, rows)
    return SeedScore(found.value, found.interval(0.0, 1.0), by_training, scores.variance**0.5)


def _interval(values: Floats) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _pairs(names: Sequence[str], against: str | None) -> list[tuple[int, int]]:
    if against is None:
        return [(later, earlier) for earlier, later in combinations(range(len(names)), 2)]
    fixed = names.index(against)
    return [(at, fixed) for at in range(len(names)) if at != fixed]


@dataclass(frozen=True, slots=True)
class _Difference:
    value: float
    ci95: Interval
    p: float
    detectable: float | None
    degrees_of_freedom: float | None


def _discordance(right: NDArray[np.bool_], against: NDArray[np.bool_]) -> Discordance:
    return Discordance(int((right & ~against).sum()), int((against & ~right).sum()))


def _pair(one: ScoredArm, other: ScoredArm) -> PairScore:
    """Return a pair, its p-value not yet corrected."""
    first, second = (_difference(one, other, place) for place in (0, 1))
    p, discordant, test = first.p, None, "bootstrap" if first.degrees_of_freedom is None else "t test"
    if one.right is not None and other.right is not None and one.once and other.once:
        discordant, test = _discordance(one.right[0], other.right[0]), "exact McNemar"
        p = mcnemar_p(discordant.only_right, discordant.against_only_right)
    return PairScore(
        arm=one.arm.name,
        against=other.arm.name,
        difference=first.value,
        ci95=first.ci95,
        macro_f1_difference=second.value,
        macro_f1_difference_ci95=second.ci95,
        discordant=discordant,
        test=test,
        p=p,
        p_holm=p,
        detectable=first.detectable,
        degrees_of_freedom=first.degrees_of_freedom,
    )


def _difference(one: ScoredArm, other: ScoredArm, place: int) -> _Difference:
    """Return one minus other; arms with the same seeds are compared seed by seed: they share rows and order."""
    ours, others = one.scores(place), other.scores(place)
    resampled = ours.resampled.mean(axis=1) - others.resampled.mean(axis=1)
    if one.once and other.once:
        value, error = float(ours.observed[0] - others.observed[0]), float(resampled.std(ddof=1))
        return _Difference(
            value, _interval(resampled), bootstrap_p(resampled), detectable_difference(error), None
        )
    together = one.seeds == other.seeds
    found = mean_of(ours.minus(others), one.rows) if together else difference_of(ours, others, one.rows)
    return _Difference(
        found.value,
        found.interval(-1.0, 1.0),
        # Where nothing varies, not even by the choice of the rows, there is no t.
        found.p() if found.standard_error else bootstrap_p(resampled),
        detectable_difference(found.standard_error, found.quantile),
        found.seed_freedom,
    )
