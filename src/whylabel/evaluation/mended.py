"""Which answers the reasoning mended, and which it broke: the same texts without a reasoning and after one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whylabel.evaluation.bootstrap import Ints
from whylabel.evaluation.outcomes import Bools, Outcomes, Predictions
from whylabel.evaluation.paired import mcnemar_p
from whylabel.evaluation.predictions import PredictionRow
from whylabel.prediction.card import REASONS
from whylabel.types import Mode


@dataclass(frozen=True, slots=True)
class Answered:
    """The same test row without a reasoning and after one."""

    without: PredictionRow
    reasoned: PredictionRow


@dataclass(frozen=True, slots=True)
class AnsweredTwice:
    """The test rows that have both answers, in their order; `model` answers without a reasoning.

    `without` and `reasoned` are the numbers of the predictions, `gold` numbers the gold labels.
    """

    model: str
    mode: Mode
    without: Ints
    reasoned: Ints
    gold: Ints
    right_without: Bools
    right_reasoned: Bools


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


def answered_twice(predictions: Predictions, mode: str) -> AnsweredTwice | None:
    """Return the test rows with both answers; None if there are none, or the mode reasons about some alone."""
    known = predictions.outcomes
    reasoned_mode = next((name for name in REASONS if name == mode and ("classifier", name) in known), None)
    model = next((name for name in ("classifier", "baseline") if (name, "fast") in known), None)
    if reasoned_mode is None or model is None:
        return None
    reasoned, without = known["classifier", reasoned_mode], known[model, "fast"]
    positions = reasoned.positions_in(without)
    both = positions >= 0
    return _pairs(model, reasoned_mode, reasoned, without, positions, both) if both.any() else None


def _pairs(
    model: str, mode: Mode, reasoned: Outcomes, without: Outcomes, positions: Ints, both: Bools
) -> AnsweredTwice:
    return AnsweredTwice(
        model=model,
        mode=mode,
        without=without.places[positions[both]],
        reasoned=reasoned.places[both],
        gold=reasoned.gold[both],
        right_without=without.right[positions[both]],
        right_reasoned=reasoned.right[both],
    )


def reasoning_effect(predictions: Predictions, mode: str) -> ReasoningEffect | None:
    """Return the counts for a mode that reasons; None if there is nothing to compare."""
    pairs = answered_twice(predictions, mode)
    if pairs is None:
        return None
    first, second = pairs.right_without, pairs.right_reasoned
    mended, broken = int((~first & second).sum()), int((first & ~second).sum())
    return ReasoningEffect(
        without=pairs.model,
        mode=pairs.mode,
        n=len(first),
        both_right=int((first & second).sum()),
        mended=mended,
        broken=broken,
        both_wrong=int(np.sum(~first & ~second)),
        mcnemar_p=mcnemar_p(mended, broken),
    )
