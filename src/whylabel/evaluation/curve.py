"""Learning curves: how good each model is with how many labels, and whether more of them would pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import Any

from whylabel.errors import UsageError
from whylabel.evaluation.arms import Arm, ComparedRows
from whylabel.evaluation.comparison import ArmScore, PairScore, compare_arms


@dataclass(frozen=True, slots=True)
class Size:
    """The models that were trained on so many rows a label; `train_rows` is how many each training had in all."""

    per_label: int
    train_rows: tuple[int, ...]
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """A model at one size; `gain` is its score minus that of the same model at the size before, None at the first."""

    per_label: int
    score: ArmScore
    gain: PairScore | None


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of each model, the smallest size first; `ahead` has the classifier minus each other model by size.

    All p-values are corrected together. `measure` is `accuracy` or `micro_f1`. `ours` is the model that is compared
    with the others: the classifier, if all sizes have it. `merged` has the sizes for which there were no more train
    rows than with a smaller one, and that one.
    """

    n: int
    measure: str
    bootstrap_samples: int
    sizes: dict[int, tuple[int, ...]]
    """Train rows of each training, by rows a label."""
    models: dict[str, tuple[Point, ...]]
    ahead: dict[int, tuple[PairScore, ...]]
    ours: str
    merged: dict[int, int]

    @property
    def seeds(self) -> int:
        """How many trainings each model has at the size with the fewest."""
        return min(map(len, self.sizes.values()))

    def rows(self, per_label: int) -> float:
        """Return how many train rows a training had at a size, on average."""
        return fmean(self.sizes[per_label])

    def to_json(self) -> dict[str, Any]:
        """Return the curve as JSON values."""
        return asdict(self)


def learning_curve(rows: ComparedRows, sizes: Sequence[Size], *, bootstrap_samples: int, seed: int) -> Curve:
    """Return the curves of the models that all sizes have; all were tested on the same rows.

    Gains are paired by row, and by seed where the sizes have the same seeds. A size with the train rows of a smaller
    one, because the data have no more, is left out. Raises `UsageError` if fewer than two are left.
    """
    sizes, merged = _distinct(sizes)
    if len(sizes) < 2:
        raise UsageError(
            "A curve needs two sizes or more that differ in their train rows; "
            f"the data have {max(sizes[0].train_rows):,} rows to train on.",
            fix="name smaller sizes, for example: --per-class 8,32,128",
        )
    shared = [arm.model for arm in sizes[0].arms if all(_at(size, arm.model) for size in sizes)]
    named = [
        replace(arm, name=_name(arm.model, size.per_label))
        for size in sizes
        for arm in size.arms
        if arm.model in shared
    ]
    places = {arm.name: place for place, arm in enumerate(named)}
    steps = [
        (places[_name(model, larger.per_label)], places[_name(model, smaller.per_label)])
        for model in shared
        for smaller, larger in pairwise(sizes)
    ]
    ours = "classifier" if "classifier" in shared else "baseline"
    ahead = [
        (places[_name(ours, size.per_label)], places[_name(model, size.per_label)])
        for size in sizes
        for model in shared
        if model != ours
    ]
    found = compare_arms(rows, named, bootstrap_samples=bootstrap_samples, seed=seed, pairs=[*steps, *ahead])
    gains = {pair.arm: pair for pair in found.pairs[: len(steps)]}
    scores = {score.name: score for score in found.arms}
    others = found.pairs[len(steps) :]
    width = len(shared) - 1
    return Curve(
        n=found.n,
        measure=found.measure,
        bootstrap_samples=bootstrap_samples,
        sizes={size.per_label: size.train_rows for size in sizes},
        models={
            model: tuple(
                Point(size.per_label, scores[name], gains.get(name))
                for size in sizes
                for name in [_name(model, size.per_label)]
            )
            for model in shared
        },
        ahead={
            size.per_label: tuple(others[place * width : (place + 1) * width])
            for place, size in enumerate(sizes)
        },
        ours=ours,
        merged=merged,
    )


def _distinct(sizes: Sequence[Size]) -> tuple[list[Size], dict[int, int]]:
    """Return the sizes in their order, each number of train rows once, and which were left out for which."""
    found: list[Size] = []
    merged: dict[int, int] = {}
    for size in sorted(sizes, key=lambda size: size.per_label):
        if found and size.train_rows == found[-1].train_rows:
            merged[size.per_label] = found[-1].per_label
        else:
            found.append(size)
    return found, merged


def _at(size: Size, model: str) -> bool:
    return any(arm.model == model for arm in size.arms)


def _name(model: str, per_label: int) -> str:
    return f"{model}, {per_label} a label"
