"""Simulatability: does a reasoning help a small reader to tell the model's label, where it does not name it?

A reasoning that names its label tells it to every reader. So the words of all labels are masked, and a reader of text
and masked reasoning is compared with one of the text alone (after Hase et al. 2020, arXiv 2010.04119, who adjust for
such leaks by the rows that have them). The reader is a logistic regression on TF-IDF; each row is read by one that
was not trained on it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whylabel.evaluation.bootstrap import Floats, Interval, percentile_intervals
from whylabel.evaluation.floors import regression, word_features
from whylabel.evaluation.paired import mcnemar_p
from whylabel.evaluation.quality import Share, share_of
from whylabel.reasonings.masking import mask_words

LEAST_ROWS = 50
"""With fewer rows there is no reader."""

_FOLDS = 5
_SAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Simulatability:
    """How often a reader tells the model's label of `n` rows.

    `text`: from the text alone; `masked`: from text and reasoning, with the words of all labels masked; `unmasked`:
    from text and reasoning as it is. `gain` is masked minus text, with a paired bootstrap interval and McNemar's
    exact p-value.
    """

    n: int
    text: Share
    masked: Share
    unmasked: Share
    gain: float
    gain_ci95: Interval
    mcnemar_p: float


def simulatability(
    texts: Sequence[str], reasonings: Sequence[str], said: Sequence[str], labels: Sequence[str], seed: int
) -> Simulatability | None:
    """Return how well readers tell the labels `said`.

    None with fewer than 50 rows, if fewer than two labels are said five times, or if all reasonings are blank.
    """
    counts = Counter(said).most_common(2)
    if len(said) < LEAST_ROWS or len(counts) < 2 or counts[1][1] < _FOLDS:
        return None
    if not any(reasoning.strip() for reasoning in reasonings):
        return None
    masked = [mask_words(reasoning, labels) for reasoning in reasonings]
    right = {
        name: _told(texts, beside, said, seed)
        for name, beside in (("text", None), ("masked", masked), ("unmasked", reasonings))
    }
    n = len(said)
    gained = int((right["masked"] & ~right["text"]).sum())
    lost = int((right["text"] & ~right["masked"]).sum())

    def gain(weights: Floats) -> Floats:
        return (weights[:, [0]] - weights[:, [1]]) / n

    (interval,) = percentile_intervals(np.array([gained, lost, n - gained - lost]), gain, _SAMPLES, seed)
    return Simulatability(
        n,
        **{name: share_of(int(each.sum()), n) for name, each in right.items()},
        gain=(gained - lost) / n,
        gain_ci95=interval,
        mcnemar_p=mcnemar_p(gained, lost),
    )


def _told(
    texts: Sequence[str], reasonings: Sequence[str] | None, said: Sequence[str], seed: int
) -> NDArray[np.bool_]:
    """Return which labels a reader tells that was trained on the other rows."""
    from sklearn.model_selection import StratifiedKFold

    target = np.asarray(said, dtype=object)
    right = np.zeros(len(said), dtype=bool)
    with warnings.catch_warnings():
        # A label with fewer rows than folds is missing in some; that is expected here.
        warnings.simplefilter("ignore", UserWarning)
        folds = list(
            StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(target, target.astype(str))
        )
    for train, held_out in folds:
        parts = [part for part in (texts, reasonings) if part is not None]
        features = [_features(part, train, held_out) for part in parts]
        reader = regression(seed)
        reader.fit(_beside([seen for seen, _ in features]), target[train].astype(str))
        right[held_out] = reader.predict(_beside([unseen for _, unseen in features])) == target[held_out]
    return right


def _features(part: Sequence[str], train: Any, held_out: Any) -> tuple[Any, Any]:
    """Return TF-IDF of the rows to train on and of those to read. Text and reasoning have words of their own."""
    features = word_features()
    seen = features.fit_transform([part[at] for at in train])
    return seen, features.transform([part[at] for at in held_out])


def _beside(features: Sequence[Any]) -> Any:
    from scipy.sparse import hstack

    return hstack(features, format="csr")
