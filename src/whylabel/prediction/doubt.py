"""How doubtful a prediction is: which rows a person should see first."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import partial
from typing import Literal

from whylabel.prediction.multi_label import MultiLabel
from whylabel.text.labels import LabelSet
from whylabel.types import Prediction

Signal = Literal["probability", "disagreement", "both"]
"""By what predictions are doubted:

- `probability`: the calibrated probability of what was predicted;
- `disagreement`: whether the model labels otherwise without a reasoning;
- `both`: where they disagree first, and by probability among these and among the others.
"""

_FAILED = 3.0


def doubt(
    prediction: Prediction,
    signal: Signal,
    labels: LabelSet,
    multi_label: MultiLabel | None = None,
    *,
    disagrees: bool | None = None,
) -> float:
    """Return how doubtful a prediction is: the larger, the sooner a person should see it. A failed one comes first.

    `disagrees` replaces what the prediction itself knows. Where nobody knows, nothing disagrees.
    """
    if prediction.status == "failed":
        return _FAILED
    known = prediction.disagrees if disagrees is None else disagrees
    disagreement = float(bool(known))
    if signal == "disagreement":
        return disagreement
    unsure = 1.0 - probability(prediction, labels, multi_label)
    return unsure if signal == "probability" else disagreement + unsure


def probability(prediction: Prediction, labels: LabelSet, multi_label: MultiLabel | None = None) -> float:
    """Return the probability of the predicted label; of several, that of all decisions if they were independent."""
    if multi_label is None:
        return max(prediction.probabilities, default=0.0)
    applies = multi_label.separator.matrix([prediction.label], labels)[0]
    product = 1.0
    for value, holds in zip(prediction.probabilities, applies, strict=True):
        product *= value if holds else 1.0 - value
    return product


class MostDoubtful:
    """Finds the most doubtful of all rows, as their predictions come; nothing is kept if no share is wanted."""

    def __init__(
        self, share: float | None, signal: Signal, labels: LabelSet, multi_label: MultiLabel | None = None
    ) -> None:
        self.wanted = share is not None
        self._share = share or 0.0
        self._doubt = partial(doubt, signal=signal, labels=labels, multi_label=multi_label)
        self._doubts = array("d")

    def add(self, prediction: Prediction) -> None:
        """Take note of the next row's prediction."""
        self._doubts.append(self._doubt(prediction))

    def places(self) -> set[int]:
        """Return the places of the rows that a person should see."""
        return to_review(self._doubts, self._share)


def to_review(doubts: Sequence[float], share: float) -> set[int]:
    """Return the places of the most doubtful rows: this share of all, rounded up; equal ones in their order."""
    # 0.1 x 30 is 3.0000000000000004.
    count = -int(-round(share * len(doubts), 9) // 1)
    return set(sorted(range(len(doubts)), key=lambda place: -doubts[place])[:count])
