"""Progress for people, always on stderr: a live bar on a terminal, occasional plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from whylabel.host.terminal import printable, printable_lines

_PLAIN_INTERVAL_SECONDS = 15.0
_BURST_SECONDS = 0.1
_REDRAW_SECONDS = 0.1
# With less measured than this, the remaining time would be a guess.
_UNITS_BEFORE_LEFT = 3
_SECONDS_BEFORE_LEFT = 10.0
_LONGEST_FIRST_BURST_SECONDS = 1.0


def say(message: str) -> None:
    """Print a message for the user to stderr; stdout is for data. Control characters are replaced."""
    print(printable_lines(message), file=sys.stderr, flush=True)


class Progress(Protocol):
    """A counter of finished work."""

    def advance(self, rows: int = 1, tokens: int = 0, note: str = "") -> None:
        """Add finished rows (or steps) and their tokens; show a short note."""


@contextmanager
def progress(name: str, total: int, unit: str = "rows", done: int = 0) -> Iterator[Progress]:
    """Show progress of `total` units; `done` of them were finished earlier and do not count for the rate."""
    name = printable(name)
    if sys.stderr.isatty():
        with _bar(name, total, unit, done) as bar:
            yield bar
    else:
        lines = _Lines(name, total, unit, done)
        try:
            yield lines
        finally:
            lines.finish()


class _Rate:
    def __init__(self, total: int, done: int) -> None:
        self.total = total
        self.start_rows = self.rows = done
        self.tokens = 0
        self.started = self.last = time.monotonic()
        self.note = ""
        # The first units warm up memory, caches and kernels: the remaining time is computed from what follows them.
        self._warm_rows = done
        self._warm_at = self._first_at = self.started
        self._warm = False

    def add(self, rows: int, tokens: int, note: str) -> None:
        now = time.monotonic()
        first = not self.fresh
        self.rows += rows
        self.tokens += tokens
        self.note = printable(note) or self.note
        if first:
            self._first_at = now
        burst = now - self.last <= _BURST_SECONDS and now - self._first_at <= _LONGEST_FIRST_BURST_SECONDS
        if first or (burst and not self._warm):
            self._warm_rows, self._warm_at = self.rows, now
        else:
            self._warm = True
        self.last = now

    @property
    def fresh(self) -> int:
        """Units finished since the start, without those that were finished earlier."""
        return self.rows - self.start_rows

    def figures(self) -> str:
        seconds = max(self.last - self.started, 1e-6)
        parts = []
        if self.tokens:
            parts.append(f"{self.tokens / seconds:,.0f} tok/s")
        left = self._seconds_left()
        parts.append(duration(seconds) if left is None else f"{duration(left)} left")
        if self.note:
            parts.append(self.note)
        return " · ".join(parts)

    def _seconds_left(self) -> float | None:
        """Return how long the rest will take; None if nothing is left, or if too little was measured."""
        measured, seconds = self.rows - self._warm_rows, self.last - self._warm_at
        measured_enough = measured >= _UNITS_BEFORE_LEFT and seconds >= _SECONDS_BEFORE_LEFT
        return (
            (self.total - self.rows) * seconds / measured
            if measured_enough and self.rows < self.total
            else None
        )


class _Lines:
    def __init__(self, name: str, total: int, unit: str, done: int) -> None:
        self._name, self._unit = name, unit
        self._rate = _Rate(total, done)
        self._shown_at = time.monotonic()
        self._shown_rows = -1

    def advance(self, rows: int = 1, tokens: int = 0, note: str = "") -> None:
        # Rows finish in bursts, a batch at a time: only a line between two bursts shows the true rate.
        now = time.monotonic()
        between_bursts = now - self._rate.last > _BURST_SECONDS
        if between_bursts and now - self._shown_at >= _PLAIN_INTERVAL_SECONDS and self._rate.fresh:
            self._show()
        self._rate.add(rows, tokens, note)

    def finish(self) -> None:
        if self._shown_rows != self._rate.rows:
            self._show()

    def _show(self) -> None:
        rate = self._rate
        say(f"  {self._name}: {rate.rows:,} of {rate.total:,} {self._unit} · {rate.figures()}")
        self._shown_at, self._shown_rows = time.monotonic(), rate.rows


@contextmanager
def _bar(name: str, total: int, unit: str, done: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=28),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + unit),
        TextColumn("{task.fields[figures]}", style="dim", markup=False),
        console=Console(stderr=True),
    )
    rate = _Rate(total, done)
    with bar:
        task = bar.add_task(name, total=total, completed=done, figures="")
        shown_at = rate.started

        def show() -> None:
            nonlocal shown_at
            shown_at = rate.last
            bar.update(task, completed=rate.rows, figures=rate.figures())

        class _Live:
            def advance(self, rows: int = 1, tokens: int = 0, note: str = "") -> None:
                rate.add(rows, tokens, note)
                # Nobody can see a faster bar, and drawing it may take longer than a row.
                if rate.last - shown_at >= _REDRAW_SECONDS:
                    show()

        try:
            yield _Live()
        finally:
            show()


def duration(seconds: float) -> str:
    """Return seconds in readable units: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
