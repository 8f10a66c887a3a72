"""Where the reasoning helps: baseline and classifier compared within slices of the test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whylabel.evaluation.bootstrap import Floats, Interval, percentile_intervals
from whylabel.evaluation.holm import holm
from whylabel.evaluation.paired import mcnemar_p

Groups = Mapping[str, Sequence[int]]
"""The places of the rows of each group, by its name; a row may be in several groups, or in none."""


@dataclass(frozen=True, slots=True)
class Slice:
    """`n` test rows that have something in common: `by` says what, `value` which.

    `baseline` and `classifier` are shares of right rows, `difference` is classifier minus baseline, `ci95` its
    bootstrap percentile interval by itself. `mcnemar_p` is the exact p-value by itself, `holm_p` the one that takes
    all slices of the evaluation into account.
    """

    by: str
    value: str
    n: int
    baseline: float
    classifier: float
    difference: float
    ci95: Interval
    mcnemar_p: float
    holm_p: float


def compare_slices(
    baseline: NDArray[np.bool_],
    classifier: NDArray[np.bool_],
    groups: Mapping[str, Groups],
    *,
    bootstrap_samples: int,
    seed: int,
) -> tuple[Slice, ...]:
    """Return all slices in the order of the groups; groups without rows are left out.

    `baseline` and `classifier` say for every test row whether the model was right, `groups` has the groups by what
    they have in common.
    """
    found = [
        _slice(by, value, baseline[places], classifier[places], bootstrap_samples, seed)
        for by, values in groups.items()
        for value, places in ((value, np.asarray(places, dtype=np.int64)) for value, places in values.items())
        if len(places)
    ]
    adjusted = holm([p for *_, p in found])
    return tuple(Slice(*each, holm_p) for each, holm_p in zip(found, adjusted, strict=True))


def _slice(
    by: str,
    value: str,
    baseline: NDArray[np.bool_],
    classifier: NDArray[np.bool_],
    samples: int,
    seed: int,
) -> tuple[str, str, int, float, float, float, Interval, float]:
    n = len(baseline)
    gained, lost = int((classifier & ~baseline).sum()), int((baseline & ~classifier).sum())

    def difference(weights: Floats) -> Floats:
        return (weights[:, [0]] - weights[:, [1]]) / n

    (interval,) = percentile_intervals(np.array([gained, lost, n - gained - lost]), difference, samples, seed)
    p = mcnemar_p(gained, lost)
    return (
        by,
        value,
        n,
        float(baseline.mean()),
        float(classifier.mean()),
        (gained - lost) / n,
        interval,
        p,
    )
