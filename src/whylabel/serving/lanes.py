"""What waits for the model, by request: requests take turns, so that a large one does not hold up small ones."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from whylabel.engines.writer import Row
from whylabel.prediction.steps import Steps
from whylabel.types import Prediction


@dataclass(slots=True, eq=False)
class Job:
    """A text on its way to its prediction."""

    number: int
    request: int
    steps: Steps[Prediction]
    streams: bool = False
    rows: list[Row] = field(default_factory=list)
    """The reasonings of its present step that were begun."""
    draft: int = 0
    """How many reasonings were begun one after another."""
    sent: str = ""
    """What was said of the present one."""
    asked: float = field(default_factory=time.monotonic)
    waited: float | None = None
    """Seconds until something was first computed for it."""

    def begin(self) -> None:
        """Take note that something is computed for it now."""
        if self.waited is None:
            self.waited = time.monotonic() - self.asked


@dataclass(slots=True, eq=False)
class Wanted:
    """What a step of a job wants: `items` are prompts to be scored, or reasonings to be written."""

    job: Job
    items: list[Any]
    begun: int = 0
    """How many items were taken."""
    results: list[Any] = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many items wait."""
        return len(self.items) - self.begun


class Lane:
    """Steps that wait, by request. They are taken from each request in turn."""

    def __init__(self) -> None:
        self._requests: dict[int, deque[Wanted]] = {}

    def __len__(self) -> int:
        return sum(one.left for wanted in self._requests.values() for one in wanted)

    def add(self, wanted: Wanted) -> None:
        """Add what a step wants."""
        self._requests.setdefault(wanted.job.request, deque()).append(wanted)

    def drop(self, job: Job) -> None:
        """Forget what a job wants."""
        self._requests = {
            request: kept
            for request, wanted in self._requests.items()
            if (kept := deque(one for one in wanted if one.job is not job))
        }

    def take(self, count: int, tokens: float = math.inf) -> list[tuple[Wanted, Any]]:
        """Take up to so many items of up to so many tokens in all, at least one, with the steps that they belong to.

        All items of a step come in order, and together where there is room: the prompts of one step begin alike, so
        that together they cost less.
        """
        taken: list[tuple[Wanted, Any]] = []
        while self._requests:
            request = next(iter(self._requests))
            waiting = self._requests[request]
            wanted = waiting[0]
            begun = wanted.begun
            while wanted.left:
                item = wanted.items[wanted.begun]
                if taken and (len(taken) >= count or len(item) > tokens):
                    break
                tokens -= len(item)
                wanted.begun += 1
                taken.append((wanted, item))
            if wanted.begun > begun:
                # The next request follows, be there more of this one or not.
                del self._requests[request]
                if not wanted.left:
                    waiting.popleft()
                if waiting:
                    self._requests[request] = waiting
            if wanted.left:
                break
        return taken
