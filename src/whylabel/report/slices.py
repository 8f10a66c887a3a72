"""Where the reasoning helps: slices of the test texts, and the texts that reasoning mended and broke."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from whylabel.evaluation.grouping import column_of
from whylabel.evaluation.mended import Answered, answered_twice
from whylabel.evaluation.outcomes import Predictions
from whylabel.report.charts import MANY_LABELS, Axis, axis_over
from whylabel.report.examples import round_robin
from whylabel.report.formats import count, is_number
from whylabel.report.verdict import SIGNIFICANCE

_TITLES = {
    "label": "Gold label",
    "length": "Length of the text",
    "margin": "Margin of the answer at once, mean of both models",
    "suspects": "Labels that look wrong to both models",
    "steps": "Sentences of the reasoning",
}


@dataclass(frozen=True, slots=True)
class Slices:
    """The slices of a run: `groups` has them by what they have in common, `axis` covers all differences."""

    sentence: str
    groups: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]
    axis: Axis


@dataclass(frozen=True, slots=True)
class Mended:
    """Texts that the reasoning mended and broke, those that are shown; `effect` has the counts of all."""

    effect: Mapping[str, Any]
    mended: tuple[Answered, ...]
    broken: tuple[Answered, ...]


def slices_of(evaluation: Mapping[str, Any]) -> Slices | None:
    """Return the slices of `evaluation/metrics.json`; None if it has none."""
    found = [each for each in evaluation.get("slices") or () if is_number(each.get("difference"))]
    if not found:
        return None
    bounds = [bound for each in found for bound in (each["difference"], *(each.get("ci95") or ()))]
    groups = groupby(found, lambda each: str(each.get("by")))
    shown = tuple(_shown(_title(by), list(each)) for by, each in groups)
    return Slices(_sentence(found), shown, axis_over([0.0, *bounds], -1.0, 1.0))


def mended_of(evaluation: Mapping[str, Any], predictions: Predictions, shown: int) -> Mended | None:
    """Return the texts that the reasoning mended and broke, up to `shown` of each, gold labels in turn.

    None if the run has no such figures.
    """
    effect = evaluation.get("reasoning_effect") or {}
    pairs = answered_twice(predictions, str(effect.get("mode"))) if effect else None
    if pairs is None:
        return None
    mended, broken = (
        round_robin(
            np.flatnonzero((pairs.right_reasoned == right) & (pairs.right_without != right)).tolist(),
            pairs.gold.__getitem__,
            shown,
        )
        for right in (True, False)
    )
    both = [*mended, *broken]
    rows = predictions.at([*pairs.without[both].tolist(), *pairs.reasoned[both].tolist()])

    def pair(at: int) -> Answered:
        return Answered(rows[int(pairs.without[at])], rows[int(pairs.reasoned[at])])

    return Mended(effect, tuple(map(pair, mended)), tuple(map(pair, broken)))


def _shown(title: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[Mapping[str, Any], ...]]:
    """Return title and slices; of many slices, those with the smallest p-values."""
    if len(rows) <= MANY_LABELS:
        return title, tuple(rows)
    known = sorted(rows, key=lambda each: (each.get("mcnemar_p") or 0.0, -abs(each["difference"])))
    which = "the least likely to be chance first; metrics.json has all"
    title = f"{title} ({MANY_LABELS} of {count(len(rows))}, {which})"
    return title, tuple(known[:MANY_LABELS])


def _title(by: str) -> str:
    column = column_of(by)
    return f"Column {column}" if column is not None else _TITLES[by]


def _sentence(found: Sequence[Mapping[str, Any]]) -> str:
    shown = [each for each in found if is_number(each.get("holm_p")) and each["holm_p"] < SIGNIFICANCE]
    if not shown:
        return (
            f"In none of the {count(len(found))} slices is a difference shown, taking into account how many there "
            "are."
        )
    named = ", ".join(
        f"{each.get('value')} ({'better' if each['difference'] > 0 else 'worse'})" for each in shown
    )
    return (
        f"A difference is shown in {count(len(shown))} of {count(len(found))} slices, taking into account how many "
        f"there are: {named}."
    )
