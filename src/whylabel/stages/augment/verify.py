"""Score what was written: how fluent is each reasoning, and does it lead to its label?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from whylabel.host.progress import Progress, progress
from whylabel.reasonings.store import StoredReasoning
from whylabel.stages.augment.rows import Work, chunks
from whylabel.stages.augment.verification import Judge, Verifiers
from whylabel.text.hashes import row_hash
from whylabel.types import Condition, Example, ReasonedExample

_AT_ONCE = 64


def judge_reasonings(examples: Sequence[Example], work: Work, condition: Condition) -> None:
    """Let the judges that the recipe asks for judge every finished reasoning of a condition that is not judged yet.

    Verdicts are committed a few dozen at a time, so that an interrupted pass continues where it was. One model is
    in memory at a time.
    """
    for title, judges in (("fluency", work.fluency), ("verify", work.verifiers)):
        if judges is not None:
            fall_back = "" if condition == work.conditions[0] else ": fall-back"
            _judge(examples, work, condition, judges, f"{title}{fall_back}")


def _judge(
    examples: Sequence[Example], work: Work, condition: Condition, judges: Verifiers, title: str
) -> None:
    with progress(title, total=len(examples)) as bar:
        for place, open_judge in enumerate(judges.each):
            judge: Judge | None = None
            for chunk in chunks(examples):
                rows = judges.rows_of(place, chunk)
                unjudged = _unjudged(rows, work, condition, judges)
                bar.advance(len(rows) - len({item.row for item, _ in unjudged}))
                if unjudged:
                    judge = judge or open_judge()
                    _put_verdicts(unjudged, judge, work, judges, bar)


def _unjudged(
    rows: Sequence[Example], work: Work, condition: Condition, judges: Verifiers
) -> list[tuple[StoredReasoning, ReasonedExample]]:
    examples = {row_hash(row): row for row in rows}
    stored = work.stored(list(examples))
    judged = work.store.find_lifts(stored, work.settings, judges.identity)
    return [
        (item, work.reasoned(examples[item.row], item))
        for place, item in stored.items()
        if item.state == "done" and item.condition == condition and place not in judged
    ]


def _put_verdicts(
    found: Sequence[tuple[StoredReasoning, ReasonedExample]],
    judge: Judge,
    work: Work,
    judges: Verifiers,
    bar: Progress,
) -> None:
    left = Counter(item.row for item, _ in found)
    for start in range(0, len(found), _AT_ONCE):
        part = found[start : start + _AT_ONCE]
        lifts = judge.lifts([row for _, row in part])
        items = [item for item, _ in part]
        work.store.put_lifts(zip(items, lifts, strict=True), work.settings, judges.identity)
        left.subtract(item.row for item in items)
        bar.advance(sum(left[row] == 0 for row in {item.row for item in items}))
