"""Self-training: the classifier writes its own reasonings, and learns from those that led it to the gold label.

It writes these reasonings from the text only, so it can write similar ones at test time. This is STaR (Zelikman et
al. 2022, arXiv 2203.14465) without rationalisation, which the reasoner has already done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from whylabel.host.progress import progress, say
from whylabel.prediction.trained import TrainedClassifier
from whylabel.reasonings.filters import apply_filters
from whylabel.reasonings.losses import Losses, shown
from whylabel.recipe import FilterConfig
from whylabel.types import Example, Prediction, ReasonedExample


@dataclass(frozen=True, slots=True)
class OwnReasonings:
    """The result of a round: `kept` led to the gold label and passed the filters; `refused` counts the others."""

    kept: tuple[ReasonedExample, ...]
    refused: Counter[str]

    def to_json(self) -> dict[str, Any]:
        """Return the counts: rows in = kept + refused."""
        return {
            "rows": len(self.kept) + self.refused.total(),
            "kept": len(self.kept),
            "refused": dict(self.refused),
        }


def write_own(
    model: TrainedClassifier, rows: Sequence[Example], filters: FilterConfig, *, title: str
) -> OwnReasonings:
    """Let the model reason about training texts without labels; keep the reasonings that lead to the gold label."""
    refused: Counter[str] = Counter()
    correct: list[ReasonedExample] = []
    with progress(title, total=len(rows)) as bar:
        found = model.predict([(row.id, row.text) for row in rows], "reasoned", show_all=True)
        for row, prediction in zip(rows, found, strict=True):
            bar.advance(1, prediction.tokens)
            reason = _refusal(row, prediction)
            if reason is not None:
                refused[reason] += 1
                continue
            text = prediction.reasoning or ""
            correct.append(
                ReasonedExample(
                    row.id, row.text, row.label, text, "self", condition="free", candidates=(text,)
                )
            )
    result = apply_filters(correct, filters)
    refused.update(item.reason for item in result.dropped)
    reasons = "".join(f", {count:,} {reason}" for reason, count in refused.most_common())
    losses = Losses()
    for kept in result.kept:
        losses.add(kept.label, None)
    for item in result.dropped:
        losses.add(item.row.label, item.reason)
    say(
        f"  {len(rows):,} rows in = {len(result.kept):,} own reasonings kept + {refused.total():,} refused{reasons}"
    )
    for warning in shown(losses.uneven()):
        say(warning)
    return OwnReasonings(result.kept, refused)


def joined(
    rows: Sequence[Example | ReasonedExample], own: Sequence[ReasonedExample]
) -> list[Example | ReasonedExample]:
    """Return the rows with the model's own reasoning first among their candidates.

    Own reasonings of texts that are not in `rows` are appended.
    """
    by_id = {row.id: row for row in own}
    found = [_with_own(row, by_id.pop(row.id, None)) for row in rows]
    return [*found, *by_id.values()]


def _with_own(row: Example | ReasonedExample, own: ReasonedExample | None) -> Example | ReasonedExample:
    if own is None:
        return row
    if not isinstance(row, ReasonedExample):
        return own
    others = row.candidates or (row.reasoning,)
    texts = tuple(dict.fromkeys((own.reasoning, *others)))
    return replace(row, reasoning=own.reasoning, candidates=texts, condition="free", weight=1.0)


def _refusal(row: Example, prediction: Prediction) -> str | None:
    if prediction.status == "failed":
        return "failed"
    if prediction.status in ("reasoning_cut", "label_forced"):
        return "did not come to a label"
    return None if prediction.label == row.label else "led to another label"
