"""The stage from end to end: write, verify, fall back where that is asked for, sort."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whylabel.augment.rows import Work
from whylabel.augment.sort import Sorted, sort_reasonings
from whylabel.augment.verify import verify_reasonings
from whylabel.augment.write import write_reasonings
from whylabel.types import Example


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What stage 2a made. `reused` rows needed no work; `tokens` were written."""

    sorted: Sorted
    reused: int
    tokens: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures of `augment/metrics.json`."""
        return {
            "rows": self.sorted.rows,
            "kept": self.sorted.kept,
            "dropped": self.sorted.dropped.total(),
            "failed": self.sorted.failed,
            "dropped_by_reason": dict(self.sorted.dropped.most_common()),
            "kept_by_condition": dict(self.sorted.conditions),
            "failures": self.sorted.failures,
            "reused": self.reused,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 2),
        }


def augment(examples: Sequence[Example], work: Work, *, kept: Path, dropped: Path) -> Augmentation:
    """Write the reasonings that the store does not have yet, then sort all of them into `kept` and `dropped`.

    Rows in = kept + dropped + failed, or it is our bug.
    """
    started = time.monotonic()
    written = []
    for condition in work.conditions:
        written.append(write_reasonings(examples, work, condition))
        verify_reasonings(examples, work, condition)
    outcome = sort_reasonings(examples, work, kept, dropped)
    assert outcome.rows == len(examples), f"{len(examples)} rows in, {outcome.rows} out"
    tokens = sum(part.tokens for part in written)
    return Augmentation(outcome, written[0].reused, tokens, time.monotonic() - started)
