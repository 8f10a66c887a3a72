"""Which predictions and reasonings the report shows: selected by a fixed rule, without cherry-picking."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from whylabel.evaluation.bootstrap import Ints
from whylabel.evaluation.evidence import Found, evidence_key
from whylabel.evaluation.outcomes import NO_OUTCOMES, Bools, Predictions
from whylabel.evaluation.predictions import PredictionRow
from whylabel.prediction.card import REASONS
from whylabel.prediction.withheld import is_withheld
from whylabel.types import Dropped, Evidence, Mode, ReasonedExample

REASONINGS_SHOWN = 5
"""How many kept and how many dropped reasonings are shown."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class ShownPrediction:
    """A prediction with the baseline's; `probability` is that of the predicted label, None with several labels.

    `evidence` is None if it was not measured.
    """

    row: PredictionRow
    probability: float | None
    baseline: PredictionRow | None
    evidence: tuple[Evidence, ...] | None = None

    @property
    def withheld(self) -> bool:
        """Whether the reasoning is not to be shown beside the label."""
        return is_withheld(self.row.prediction)

    @property
    def disagrees(self) -> bool:
        """Whether the baseline predicted another label."""
        return self.baseline is not None and (self.baseline.prediction.label != self.row.prediction.label)


@dataclass(frozen=True, slots=True)
class ShownPredictions:
    """The right and the wrong predictions of `model` that are shown, all in one mode."""

    model: str
    mode: str
    right: tuple[ShownPrediction, ...]
    wrong: tuple[ShownPrediction, ...]

    def with_evidence(self, found: Found) -> ShownPredictions:
        """Return the same predictions with the evidence for their labels."""
        right, wrong = (
            tuple(replace(item, evidence=found.get(evidence_key(item.row))) for item in items)
            for items in (self.right, self.wrong)
        )
        return replace(self, right=right, wrong=wrong)

    @property
    def reasons(self) -> bool:
        """Whether a reasoning was written for any of them."""
        return any(item.row.prediction.reasoning is not None for item in (*self.right, *self.wrong))

    @property
    def explained(self) -> bool:
        """Whether evidence was measured for any of them."""
        return any(item.evidence is not None for item in (*self.right, *self.wrong))


def shown_predictions(
    predictions: Predictions, shown: int, *, several_labels: bool = False
) -> ShownPredictions | None:
    """Select up to `shown` right and up to `shown` wrong predictions of the classifier, else of the baseline.

    Rows where the other model disagrees come first; within each group gold labels alternate (`round_robin`).
    Returns None if neither model has predictions.
    """
    models = ("classifier", "baseline")
    keys = {name: key for name in models if (key := _shown_key(predictions, name)) is not None}
    if not keys:
        return None
    model, key = next(iter(keys.items()))
    mine = predictions.outcomes[key]
    others = predictions.outcomes[keys["baseline"]] if len(keys) == 2 else NO_OUTCOMES
    beside = mine.positions_in(others)
    other_labels = np.append(others.labels, -1)[beside]
    disagrees = (beside >= 0) & (other_labels != mine.labels)
    right, wrong = (
        _disagreeing_first(np.flatnonzero(mine.right == outcome), disagrees, mine.gold, shown)
        for outcome in (True, False)
    )
    other_places = {at: int(others.places[beside[at]]) for at in (*right, *wrong) if beside[at] >= 0}
    rows = predictions.at([*mine.places[[*right, *wrong]].tolist(), *other_places.values()])

    def item(at: int) -> ShownPrediction:
        row = rows[int(mine.places[at])]
        other = rows[other_places[at]] if at in other_places else None
        return ShownPrediction(row, None if several_labels else _probability(row), other)

    return ShownPredictions(model, key[1], tuple(map(item, right)), tuple(map(item, wrong)))


def sample_reasonings(kept: Iterable[ReasonedExample]) -> tuple[ReasonedExample, ...]:
    """Select kept reasonings, one label after the other."""
    return round_robin(kept, lambda row: row.label, REASONINGS_SHOWN)


def sample_dropped(dropped: Iterable[Dropped]) -> tuple[Dropped, ...]:
    """Select dropped reasonings, one reason after the other."""
    return round_robin(dropped, lambda item: item.reason, REASONINGS_SHOWN)


def round_robin(items: Iterable[Item], group: Callable[[Item], Hashable], shown: int) -> tuple[Item, ...]:
    """Return up to `shown` items, one from each group in turn, in the order of groups and items."""
    queues: dict[Hashable, list[Item]] = {}
    for item in items:
        name = group(item)
        # More groups, or more items of a group, are never shown; `items` may be a long stream from disk.
        if name not in queues and len(queues) >= shown:
            continue
        queue = queues.setdefault(name, [])
        if len(queue) < shown:
            queue.append(item)
    longest = max((len(queue) for queue in queues.values()), default=0)
    ordered = (queue[place] for place in range(longest) for queue in queues.values() if place < len(queue))
    return tuple(item for item, _ in zip(ordered, range(shown), strict=False))


def _disagreeing_first(candidates: Ints, disagrees: Bools, gold: Ints, shown: int) -> tuple[int, ...]:
    """Return positions of up to `shown` candidates."""
    parts = [candidates[disagrees[candidates]].tolist(), candidates[~disagrees[candidates]].tolist()]
    first = round_robin(parts[0], gold.__getitem__, shown)
    return first + round_robin(parts[1], gold.__getitem__, shown - len(first))


def _shown_key(predictions: Predictions, model: str) -> tuple[str, Mode] | None:
    """Return model and mode; of several modes one that reasons about every text, else the first."""
    modes = [mode for name, mode in predictions.outcomes if name == model]
    mode = next((mode for mode in (*REASONS, *modes) if mode in modes), None)
    return None if mode is None else (model, mode)


def _probability(row: PredictionRow) -> float | None:
    # The label is the one with the highest score.
    return max(row.prediction.probabilities, default=None)
