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
    `near_duplicates`: those that nearly repeat an earlier one.
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
    """Return the figures of the predictions of one mode; None if it writes no reasonings."""
    written = [row for row in rows if row.prediction.reasoning is not None]
    if not written:
        return None
    statuses = [row.prediction for row in written if row.prediction.reasoning_status is not None]
    n = len(statuses)
    reasons = Counter(filter(None, map(withheld_because, statuses)))
    disagrees = [row.prediction.disagrees for row in written if row.prediction.disagrees is not None]

    def with_status(status: str) -> Share | None:
        return _share_or_none(sum(prediction.reasoning_status == status for prediction in statuses), n)

    return ReasoningQuality(
        written=share_of(len(written), len(rows)),
        shown=with_status("ok"),
        afterthoughts=with_status("afterthought"),
        withheld=_share_or_none(reasons.total(), n),
        withheld_by_reason={reason: share_of(count, n) for reason, count in reasons.most_common()},
        disagrees=_share_or_none(sum(disagrees), len(disagrees)),
        content=_content(written, labels),
        content_for_readers=_content([row for row in written if not is_withheld(row.prediction)], labels),
    )


def quality_by_mode(rows: Iterable[PredictionRow], labels: Sequence[str]) -> dict[Mode, ReasoningQuality]:
    """Return the figures of each mode in which the classifier has written reasonings."""
    modes: dict[Mode, list[PredictionRow]] = {}
    for row in rows:
        if row.model == "classifier":
            modes.setdefault(row.prediction.mode, []).append(row)
    found = {mode: reasoning_quality(mine, labels) for mode, mine in modes.items()}
    return {mode: quality for mode, quality in found.items() if quality is not None}


def explaining_mode(evaluation: Mapping[str, Any]) -> str:
    """Return the mode whose reasonings stand for the classifier, from the content of `evaluation/metrics.json`.

    It is the default mode if that writes a reasoning for every text, else the first evaluated one that does, else the
    default mode all the same.
    """
    default = str(evaluation["classifier"]["mode"])
    evaluated = {default, *(evaluation.get("modes") or {})}
    return next((mode for mode in (default, *REASONS) if mode in REASONS and mode in evaluated), default)


def share_of(count: int, n: int) -> Share:
    """Return a share with its interval; `n` is not 0."""
    return Share(count, n, count / n, wilson_interval(count, n))


def _share_or_none(count: int, n: int) -> Share | None:
    """Return a share; None if it is one of nothing."""
    return share_of(count, n) if n else None


def _content(rows: Sequence[PredictionRow], labels: Sequence[str]) -> Content:
    earlier = NearDuplicates(_MAX_SIMILARITY)
    quoting = grounded = contradictions = repeating = 0
    for row in rows:
        reasoning = row.prediction.reasoning or ""
        quoted = quotations(reasoning)
        quoting += bool(quoted)
        grounded += bool(quoted) and all(find(quotation, row.text) is not None for quotation in quoted)
        contradictions += conclusion(reasoning, labels).contradicts(row.prediction.label)
        repeating += earlier.repeats(reasoning)
    n = len(rows)
    return Content(
        _share_or_none(quoting, n),
        _share_or_none(grounded, quoting),
        _share_or_none(contradictions, n),
        _share_or_none(repeating, n),
    )
