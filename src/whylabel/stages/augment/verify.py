"""Score what was written: does each reasoning lead to its label?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from whylabel.host.progress import Progress, progress
from whylabel.reasonings.store import StoredReasoning
from whylabel.stages.augment.rows import Work, chunks
from whylabel.text.hashes import row_hash
from whylabel.types import Condition, Example, ReasonedExample

_AT_ONCE = 64


def verify_reasonings(examples: Sequence[Example], work: Work, condition: Condition) -> None:
    """Let the verifier judge every finished reasoning of a condition that it has not judged yet.

    Verdicts are committed a few dozen at a time, so that an interrupted pass continues where it was.
    """
    if work.verifier is None:
        return
    title = "verify" if condition == work.conditions[0] else "verify: fall-back"
    with progress(title, total=len(examples)) as bar:
        for chunk in chunks(examples):
            unjudged = _unjudged(chunk, work, condition)
            bar.advance(len(chunk) - len({item.row for item, _ in unjudged}))
            _verify(unjudged, work, bar)


def _unjudged(
    chunk: Sequence[Example], work: Work, condition: Condition
) -> list[tuple[StoredReasoning, ReasonedExample]]:
    assert work.verifier is not None
    rows = {row_hash(example): example for example in chunk}
    stored = work.stored(list(rows))
    judged = work.store.find_lifts(stored, work.settings, work.verifier.identity)
    return [
        (item, work.reasoned(rows[item.row], item))
        for place, item in stored.items()
        if item.state == "done" and item.condition == condition and place not in judged
    ]


def _verify(found: Sequence[tuple[StoredReasoning, ReasonedExample]], work: Work, bar: Progress) -> None:
    assert work.verifier is not None
    left = Counter(item.row for item, _ in found)
    for start in range(0, len(found), _AT_ONCE):
        part = found[start : start + _AT_ONCE]
        lifts = work.verifier.lifts([row for _, row in part])
        items = [item for item, _ in part]
        work.store.put_lifts(zip(items, lifts, strict=True), work.settings, work.verifier.identity)
        left.subtract(item.row for item in items)
        bar.advance(sum(left[row] == 0 for row in {item.row for item in items}))
