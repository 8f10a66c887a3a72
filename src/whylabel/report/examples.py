"""Which predictions and reasonings the report shows: selected by a fixed rule, without cherry-picking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from whylabel.evaluation.evidence import Found, evidence_key
from whylabel.evaluation.predictions import PredictionRow
from whylabel.prediction.withheld import is_withheld
from whylabel.types import Dropped, Evidence, ReasonedExample

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
    def explained(self) -> bool:
        """Whether evidence was measured for any of them."""
        return any(item.evidence is not None for item in (*self.right, *self.wrong))


def shown_predictions(
    rows: Sequence[PredictionRow], shown: int, *, several_labels: bool = False
) -> ShownPredictions | None:
    """Select up to `shown` right and up to `shown` wrong predictions of the classifier, else of the baseline.

    Rows where the other model disagrees come first; within each group gold labels alternate (`round_robin`).
    Returns None if neither model has predictions.
    """
    by_model = {name: _by_id(rows, name) for name in ("classifier", "baseline")}
    model = next((name for name, found in by_model.items() if found), None)
    if model is None:
        return None
    others = by_model["baseline"] if model == "classifier" else {}
    candidates = [
        ShownPrediction(row, None if several_labels else _probability(row), others.get(row.prediction.id))
        for row in by_model[model].values()
    ]
    right, wrong = ([item for item in candidates if item.row.right is outcome] for outcome in (True, False))
    mode = candidates[0].row.prediction.mode
    return ShownPredictions(model, mode, _disagreeing_first(right, shown), _disagreeing_first(wrong, shown))


def sample_reasonings(kept: Iterable[ReasonedExample]) -> tuple[ReasonedExample, ...]:
    """Select kept reasonings, one label after the other."""
    return round_robin(kept, lambda row: row.label, REASONINGS_SHOWN)


def sample_dropped(dropped: Iterable[Dropped]) -> tuple[Dropped, ...]:
    """Select dropped reasonings, one reason after the other."""
    return round_robin(dropped, lambda item: item.reason, REASONINGS_SHOWN)


def round_robin(items: Iterable[Item], group: Callable[[Item], str], shown: int) -> tuple[Item, ...]:
    """Return up to `shown` items, one from each group in turn, in the order of groups and items."""
    queues: dict[str, list[Item]] = {}
    for item in items:
        queue = queues.setdefault(group(item), [])
        # More items of a group are never shown; `items` may be a long stream from disk.
        if len(queue) < shown:
            queue.append(item)
    longest = max((len(queue) for queue in queues.values()), default=0)
    ordered = (queue[place] for place in range(longest) for queue in queues.values() if place < len(queue))
    return tuple(item for item, _ in zip(ordered, range(shown), strict=False))


def _disagreeing_first(items: Sequence[ShownPrediction], shown: int) -> tuple[ShownPrediction, ...]:
    first = round_robin((i for i in items if i.disagrees), lambda item: item.row.gold, shown)
    rest = (item for item in items if not item.disagrees)
    return first + round_robin(rest, lambda item: item.row.gold, shown - len(first))


def _by_id(rows: Sequence[PredictionRow], model: str) -> dict[str, PredictionRow]:
    # If a model was evaluated in several modes, show the mode with reasonings.
    mine = [row for row in rows if row.model == model]
    mine.sort(key=lambda row: row.prediction.mode == "reasoned")
    return {row.prediction.id: row for row in mine}


def _probability(row: PredictionRow) -> float | None:
    # The label is the one with the highest score.
    return max(row.prediction.probabilities, default=None)
