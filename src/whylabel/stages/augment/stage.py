"""The stage from end to end: write, verify, fall back where that is asked for, sort."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from whylabel.reasonings.losses import figures
from whylabel.stages.augment.rows import Work
from whylabel.stages.augment.sort import Sorted, sort_reasonings
from whylabel.stages.augment.verify import judge_reasonings
from whylabel.stages.augment.write import Written, write_reasonings
from whylabel.types import Example


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What stage 2a made."""

    sorted: Sorted
    written: Written
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures of `augment/metrics.json`."""
        return {
            "rows": self.sorted.rows,
            "kept": self.sorted.kept,
            "dropped": self.sorted.dropped.total(),
            "failed": self.sorted.failed,
            "dropped_by_reason": dict(self.sorted.dropped.most_common()),
            **figures(self.sorted.losses),
            "kept_by_condition": dict(self.sorted.conditions),
            "own_refused_by_filters": dict(self.sorted.own_refused.most_common()),
            "failures": self.sorted.failures,
            "reused": self.written.reused,
            "tokens": self.written.tokens,
            "seconds": round(self.seconds, 2),
            "cost": self.written.cost,
        }


def augment(examples: Sequence[Example], work: Work, *, kept: Path, dropped: Path) -> Augmentation:
    """Write the reasonings that the store does not have yet, then sort all of them into `kept` and `dropped`.

    Rows in = kept + dropped + failed, or it is our bug.
    """
    started = time.monotonic()
    written = Written()
    for condition in work.conditions:
        part = write_reasonings(examples, work, condition)
        written = replace(part.plus(written.tokens, written.cost), reused=written.reused + part.reused)
        judge_reasonings(examples, work, condition)
    outcome = sort_reasonings(examples, work, kept, dropped)
    assert outcome.rows == len(examples), f"{len(examples)} rows in, {outcome.rows} out"
    return Augmentation(outcome, written, time.monotonic() - started)
