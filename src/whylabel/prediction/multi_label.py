"""Tasks with several labels per text: choose the labels that apply, by their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from whylabel.recipe import TaskConfig

    Floats = NDArray[numpy.float64]

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class MultiLabel:
    """A separate decision on each label: the label applies if its probability reaches its threshold.

    `thresholds` are in label order. If empty, no thresholds were fitted and `DEFAULT_THRESHOLD` is used for all
    labels.
    """

    separator: Separator = field(default_factory=Separator)
    thresholds: tuple[float, ...] = ()

    def answer(self, labels: LabelSet, log_odds: Floats) -> tuple[str, Floats]:
        """Return the labels that apply, joined, and the probability of every label; they do not sum to 1."""
        probabilities = sigmoid(log_odds)
        return self.decided(labels, probabilities), probabilities

    def decided(self, labels: LabelSet, probabilities: Floats) -> str:
        """Return the labels that apply, joined."""
        limits = self.thresholds or (DEFAULT_THRESHOLD,) * len(labels)
        return self.separator.join(
            name
            for name, value, limit in zip(labels.names, probabilities, limits, strict=True)
            if value >= limit
        )

    def log_probability(self, labels: LabelSet, log_odds: Floats, label: str) -> float:
        """Return the log-probability that exactly the labels joined in `label` apply, as if they were independent."""
        import numpy as np

        applies = self.separator.matrix([label], labels)[0]
        return float(-np.logaddexp(0.0, np.where(applies, -log_odds, log_odds)).sum())

    def to_json(self, labels: LabelSet) -> dict[str, float] | None:
        """Return the value of `thresholds` in `whylabel.json`: the threshold of each label."""
        return dict(zip(labels.names, self.thresholds, strict=True)) if self.thresholds else None

    @classmethod
    def from_json(
        cls, separator: str, thresholds: Mapping[str, float] | None, labels: LabelSet
    ) -> MultiLabel:
        """Read it back. Raises `KeyError` if a label has no threshold."""
        found = () if thresholds is None else tuple(float(thresholds[name]) for name in labels.names)
        return cls(Separator(separator), found)


def multi_label_of(task: TaskConfig) -> MultiLabel | None:
    """Return the decisions before thresholds are fitted; None if each text has exactly one label."""
    return MultiLabel(Separator(task.label_separator)) if task.type == "multi_label" else None


def sigmoid(log_odds: Floats) -> Floats:
    """Return the probabilities of log-odds, without overflow."""
    import numpy as np

    return np.asarray(np.exp(-np.logaddexp(0.0, -np.asarray(log_odds))))
