"""Score what was written: does each reasoning lead to its label?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from whylabel.host.progress import Progress, progress
from whylabel.reasonings.store import StoredReasoning
from whylabel.stages.augment.rows import Work, chunks
from whylabel.stages.augment.verification import Verifier
from whylabel.text.hashes import row_hash
from whylabel.types import Condition, Example, ReasonedExample

_AT_ONCE = 64


def verify_reasonings(examples: Sequence[Example], work: Work, condition: Condition) -> None:
    """Let the verifier of each row judge every finished reasoning of a condition that it has not judged yet.

    Verdicts are committed a few dozen at a time, so that an interrupted pass continues where it was. One verifier is
    in memory at a time.
    """
    if work.verifiers is None:
        return
    title = "verify" if condition == work.conditions[0] else "verify: fall-back"
    with progress(title, total=len(examples)) as bar:
        for place, open_verifier in enumerate(work.verifiers.each):
            verifier: Verifier | None = None
            for chunk in chunks(examples):
                rows = work.verifiers.rows_of(place, chunk)
                unjudged = _unjudged(rows, work, condition)
                bar.advance(len(rows) - len({item.row for item, _ in unjudged}))
                if unjudged:
                    verifier = verifier or open_verifier()
                    _verify(unjudged, verifier, work, bar)


def _unjudged(
    rows: Sequence[Example], work: Work, condition: Condition
) -> list[tuple[StoredReasoning, ReasonedExample]]:
    assert work.verifiers is not None
    examples = {row_hash(row): row for row in rows}
    stored = work.stored(list(examples))
    judged = work.store.find_lifts(stored, work.settings, work.verifiers.identity)
    return [
        (item, work.reasoned(examples[item.row], item))
        for place, item in stored.items()
        if item.state == "done" and item.condition == condition and place not in judged
    ]


def _verify(
    found: Sequence[tuple[StoredReasoning, ReasonedExample]], verifier: Verifier, work: Work, bar: Progress
) -> None:
    assert work.verifiers is not None
    left = Counter(item.row for item, _ in found)
    for start in range(0, len(found), _AT_ONCE):
        part = found[start : start + _AT_ONCE]
        lifts = verifier.lifts([row for _, row in part])
        items = [item for item, _ in part]
        work.store.put_lifts(zip(items, lifts, strict=True), work.settings, work.verifiers.identity)
        left.subtract(item.row for item in items)
        bar.advance(sum(left[row] == 0 for row in {item.row for item in items}))
