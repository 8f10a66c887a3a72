"""What the engine process was sent and has not begun."""

from __future__ import annotations

import json
import threading
import time
from typing import Any


class Inbox:
    """Questions in the order in which they came. A thread fills it while another one computes.

    It holds no more than the HTTP process has places, as each place is taken until its question is answered or
    confirmed as taken back.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._questions: dict[int, dict[str, Any]] = {}
        self._taken_back: list[int] = []

    def put(self, line: bytes) -> None:
        """Add a message. A question that is taken back before it was begun is never begun."""
        message = json.loads(line)
        with self._changed:
            if "cancel" in message:
                self._questions.pop(message["cancel"], None)
                self._taken_back.append(message["cancel"])
            else:
                self._questions[message["ask"]] = {**message, "came": time.monotonic()}
            self._changed.notify()

    def wait(self, seconds: float) -> None:
        """Wait until something is there, but no longer than that."""
        with self._changed:
            self._changed.wait_for(lambda: self._questions or self._taken_back, seconds)

    def next_question(self, seconds: float = 0.0) -> dict[str, Any] | None:
        """Take the question that came first, with the time at which it `came`; None if none comes in time."""
        self.wait(seconds)
        with self._changed:
            number = next(iter(self._questions), None)
            return None if number is None else self._questions.pop(number)

    def taken_back(self) -> list[int]:
        """Take the numbers of all questions that were taken back since the last call."""
        with self._changed:
            numbers, self._taken_back = self._taken_back, []
            return numbers
