"""Score what was written: does each reasoning lead to its label?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from whylabel.host.progress import Progress, progress
from whylabel.reasonings.store import Place, row_hash
from whylabel.stages.augment.rows import Work, chunks
from whylabel.types import Condition, Example, ReasonedExample

_AT_ONCE = 64


def verify_reasonings(examples: Sequence[Example], work: Work, condition: Condition) -> None:
    """Let the verifier judge every finished reasoning of a condition that it has not judged yet.

    Verdicts are committed a few dozen at a time, so that an interrupted pass goes on where it was.
    """
    if work.verifier is None:
        return
    title = "verify" if condition == work.conditions[0] else "verify: fall-back"
    with progress(title, total=len(examples)) as bar:
        for chunk in chunks(examples):
            unjudged = _unjudged(chunk, work, condition)
            bar.advance(len(chunk) - len({place[0] for place, _ in unjudged}))
            _verify(unjudged, work, bar)


def _unjudged(
    chunk: Sequence[Example], work: Work, condition: Condition
) -> list[tuple[Place, ReasonedExample]]:
    assert work.verifier is not None
    rows = {row_hash(example): example for example in chunk}
    stored = work.store.find(list(rows), work.settings)
    judged = work.store.find_lifts(list(rows), work.settings, work.verifier.identity)
    return [
        (place, work.reasoned(rows[place[0]], item))
        for place, item in stored.items()
        if item.state == "done" and item.condition == condition and place not in judged
    ]


def _verify(found: Sequence[tuple[Place, ReasonedExample]], work: Work, bar: Progress) -> None:
    assert work.verifier is not None
    left = Counter(place[0] for place, _ in found)
    for start in range(0, len(found), _AT_ONCE):
        part = found[start : start + _AT_ONCE]
        lifts = work.verifier.lifts([row for _, row in part])
        judged = {place: lift for (place, _), lift in zip(part, lifts, strict=True)}
        work.store.put_lifts(judged, work.settings, work.verifier.identity)
        left.subtract(place[0] for place in judged)
        bar.advance(sum(left[row] == 0 for row in {place[0] for place in judged}))
