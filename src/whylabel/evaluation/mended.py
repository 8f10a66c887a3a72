"""Which answers the reasoning mended, and which it broke: the same texts without a reasoning and after one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from whylabel.evaluation.paired import mcnemar_p
from whylabel.evaluation.predictions import PredictionRow, by_model_and_mode
from whylabel.prediction.card import REASONS
from whylabel.types import Mode


@dataclass(frozen=True, slots=True)
class Answered:
    """The same test row without a reasoning and after one."""

    without: PredictionRow
    reasoned: PredictionRow


@dataclass(frozen=True, slots=True)
class ReasoningEffect:
    """How many of `n` test rows are right without a reasoning (mode `fast`) and after one (in `mode`).

    `mended`: wrong without, right after; `broken`: the other way round. `without` is the model that answers without:
    `classifier`, the same weights, if it can, else `baseline`. `mcnemar_p` is the exact p-value that both are equally
    accurate.
    """

    without: str
    mode: Mode
    n: int
    both_right: int
    mended: int
    broken: int
    both_wrong: int
    mcnemar_p: float


def answered(rows: Iterable[PredictionRow], mode: str) -> tuple[Answered, ...]:
    """Return the test rows with both answers, in their order; none if the mode does not reason about every text."""
    predictions = by_model_and_mode(rows)
    reasoned = next(
        (found for (model, known), found in predictions.items() if (model, known) == ("classifier", mode)), []
    )
    without = predictions.get(("classifier", "fast")) or predictions.get(("baseline", "fast"))
    if mode not in REASONS or not reasoned or not without:
        return ()
    by_id = {row.prediction.id: row for row in without}
    return tuple(Answered(by_id[row.prediction.id], row) for row in reasoned if row.prediction.id in by_id)


def reasoning_effect(rows: Sequence[PredictionRow], mode: str) -> ReasoningEffect | None:
    """Return the counts for a mode that reasons; None if there is nothing to compare."""
    pairs = answered(rows, mode)
    if not pairs:
        return None
    counts = dict.fromkeys([(True, True), (False, True), (True, False), (False, False)], 0)
    for pair in pairs:
        counts[pair.without.right, pair.reasoned.right] += 1
    return ReasoningEffect(
        without=pairs[0].without.model,
        mode=pairs[0].reasoned.prediction.mode,
        n=len(pairs),
        both_right=counts[True, True],
        mended=counts[False, True],
        broken=counts[True, False],
        both_wrong=counts[False, False],
        mcnemar_p=mcnemar_p(counts[False, True], counts[True, False]),
    )
