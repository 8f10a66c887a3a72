"""How good the classifier's reasonings are, as far as its predictions on the test rows tell: counts, no opinions.

Whether a reasoning is a good one only a reader can say (`readings.py`). What can be counted is how many are shown and
why the others are not, whether they quote what their text says, whether they conclude with the label beside them, and
how often they say the same again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whylabel.evaluation.bootstrap import Interval
from whylabel.evaluation.metrics import wilson_interval
from whylabel.evaluation.predictions import PredictionRow
from whylabel.prediction.card import REASONS
from whylabel.prediction.withheld import is_withheld, withheld_because
from whylabel.reasonings.conclusion import conclusion
from whylabel.reasonings.near_duplicates import NearDuplicates
from whylabel.recipe import FilterConfig
from whylabel.text.quotes import find, quotations
from whylabel.types import Mode

# That of the filter `near_duplicate`, whatever a recipe says: the figure is to compare runs.
_MAX_SIMILARITY = FilterConfig().max_similarity
_MOST_COMPARED = 10_000


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `n`, with Wilson's 95 % interval."""

    count: int
    n: int
    share: float
    ci95: Interval


@dataclass(frozen=True, slots=True)
class Content:
    """What some reasonings say; a share of nothing is None.

    `quoting`: those with a quotation. `grounded`: of these, those whose every quotation stands in their text.
    `contradictions`: those whose last sentence denies the label beside them, or affirms others alone.
    `near_duplicates`: those of the first 10,000 that nearly repeat an earlier one.
    """

    quoting: Share | None
    grounded: Share | None
    contradictions: Share | None
    near_duplicates: Share | None


@dataclass(frozen=True, slots=True)
class ReasoningQuality:
    """The reasonings of one mode on the test rows.

    `written` is a share of all test rows. `shown` (`ok`), `afterthoughts` and `withheld` are shares of the reasonings
    whose status is known, `withheld_by_reason` too, the most frequent first. `disagrees` is a share of the rows where
    the answer with the reasoning and that without it are both known. `content` is about all that were written,
    `content_for_readers` about those that are not withheld.
    """

    written: Share
    shown: Share | None
    afterthoughts: Share | None
    withheld: Share | None
    withheld_by_reason: dict[str, Share]
    disagrees: Share | None
    content: Content
    content_for_readers: Content


def reasoning_quality(rows: Sequence[PredictionRow], labels: Sequence[str]) -> ReasoningQuality | None:
    """Return the figures of the predictions of one mode; None if it writes no reasonings.

    The rows are read several times rather than held.
    """
    written = 0
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    disagrees: Counter[bool] = Counter()
    for row in rows:
        said = row.prediction
        if said.reasoning is None:
            continue
        written += 1
        if said.reasoning_status is not None:
            statuses[said.reasoning_status] += 1
            if reason := withheld_because(said):
                reasons[reason] += 1
        if said.disagrees is not None:
            disagrees[said.disagrees] += 1
    if not written:
        return None
    n = statuses.total()
    return ReasoningQuality(
        written=share_of(written, len(rows)),
        shown=_share_or_none(statuses["ok"], n),
        afterthoughts=_share_or_none(statuses["afterthought"], n),
        withheld=_share_or_none(reasons.total(), n),
        withheld_by_reason={reason: share_of(count, n) for reason, count in reasons.most_common()},
        disagrees=_share_or_none(disagrees[True], disagrees.total()),
        content=_content(rows, labels),
        content_for_readers=_content((row for row in rows if not is_withheld(row.prediction)), labels),
    )


def quality_by_mode(
    predictions: Mapping[tuple[str, Mode], Sequence[PredictionRow]], labels: Sequence[str]
) -> dict[Mode, ReasoningQuality]:
    """Return the figures of each mode in which the classifier has written reasonings."""
    found = {
        mode: reasoning_quality(rows, labels)
        for (model, mode), rows in predictions.items()
        if model == "classifier"
    }
    return {mode: quality for mode, quality in found.items() if quality is not None}


def explaining_mode(evaluation: Mapping[str, Any]) -> Mode:
    """Return the mode whose reasonings stand for the classifier, from the content of `evaluation/metrics.json`.

    It is the default mode if that writes a reasoning for every text, else the first evaluated one that does, else the
    default mode all the same.
    """
    default: Mode = evaluation["classifier"]["mode"]
    evaluated = {default, *(evaluation.get("modes") or {})}
    return next((mode for mode in (default, *REASONS) if mode in REASONS and mode in evaluated), default)


def share_of(count: int, n: int) -> Share:
    """Return a share with its interval; `n` is not 0."""
    return Share(count, n, count / n, wilson_interval(count, n))


def _share_or_none(count: int, n: int) -> Share | None:
    """Return a share; None if it is one of nothing."""
    return share_of(count, n) if n else None


def _content(rows: Iterable[PredictionRow], labels: Sequence[str]) -> Content:
    """Return what the reasonings of the rows say; rows without one are left out."""
    earlier = NearDuplicates(_MAX_SIMILARITY)
    n = quoting = grounded = contradictions = repeating = 0
    for row in rows:
        reasoning = row.prediction.reasoning
        if reasoning is None:
            continue
        n += 1
        quoted = quotations(reasoning)
        quoting += bool(quoted)
        grounded += bool(quoted) and all(find(quotation, row.text) is not None for quotation in quoted)
        contradictions += conclusion(reasoning, labels).contradicts(row.prediction.label)
        # Each takes about a kilobyte; and the share grows with their number, so more would only be harder to compare.
        if n <= _MOST_COMPARED:
            repeating += earlier.repeats(reasoning)
    return Content(
        _share_or_none(quoting, n),
        _share_or_none(grounded, quoting),
        _share_or_none(contradictions, n),
        _share_or_none(repeating, min(n, _MOST_COMPARED)),
    )
