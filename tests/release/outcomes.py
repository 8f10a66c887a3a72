"""What a verb does with bad input: exit code, messages, seconds of CPU, memory, files written. And a table of it."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from whylabel.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """One call of a verb in this process."""

    code: int
    output: str
    """stdout and stderr."""
    seconds: float
    """Of CPU, beyond the start of the program."""
    mebibytes: float
    """At the peak, beyond what the process had before."""
    written: tuple[str, ...]
    """Files below the current folder that are new or have changed."""

    def faults(self, *named: str, codes: Iterable[int] = (2,), may_write: bool = False) -> list[str]:
        """Return what is wrong with a refusal, in words; `named` must be in its message.

        `may_write`: whether a run folder may have been begun when the verb came to what it refuses.
        """
        found = [] if self.code in codes else [f"exit code {self.code}"]
        found += ["a traceback"] if "Traceback" in self.output else []
        found += ["an internal error"] if "Internal error" in self.output else []
        found += [f"wrote {name}" for name in self.written] if self.code == 2 and not may_write else []
        if self.code == 2:
            found += [f"does not name {word!r}" for word in named if word and word not in self.output]
            found += [] if "fix: " in self.output or "Known: " in self.output else ["names no cure"]
        return found


def call(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Outcome:
    """Run a verb in the current folder, in this process."""
    capsys.readouterr()
    before = _files()
    with _memory() as mebibytes:
        started = time.process_time()
        code = main(arguments)
        seconds = time.process_time() - started
    out, err = capsys.readouterr()
    after = _files()
    written = tuple(name for name in after if after[name] != before.get(name))
    return Outcome(code, out + err, seconds, mebibytes[0], written)


def _files() -> dict[str, tuple[int, int]]:
    found = {}
    for folder, _, files in os.walk("."):
        for path in (Path(folder, name) for name in files):
            state = path.lstat()
            found[str(path)] = (state.st_size, state.st_mtime_ns)
    return found


@contextmanager
def _memory() -> Iterator[list[float]]:
    """Yield a list that gets the peak within the block, beyond what was there before; 0 where Linux does not say."""
    peak = [0.0]
    before = _status("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")
        yield peak
        peak[0] = max(0.0, (_status("VmHWM") - before) / 1024)
    except FileNotFoundError:
        yield peak


def _status(field_name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith(field_name))


@dataclass
class Figures:
    """What was measured, by kind of file and verb."""

    records: dict[tuple[str, str], list[Outcome]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, verb: str, outcome: Outcome) -> None:
        self.records[kind, verb].append(outcome)

    def lines(self) -> Iterator[str]:
        """Yield a table in Markdown."""
        yield "| files | verb | calls | refused | median, worst CPU s | worst MiB |"
        yield "|---|---|---|---|---|---|"
        for (kind, verb), outcomes in sorted(self.records.items()):
            seconds = sorted(outcome.seconds for outcome in outcomes)
            refused = sum(outcome.code == 2 for outcome in outcomes)
            worst = max(outcome.mebibytes for outcome in outcomes)
            yield (
                f"| {kind} | `{verb}` | {len(outcomes)} | {refused} | {seconds[len(seconds) // 2]:.2f}, "
                f"{seconds[-1]:.2f} | {worst:.0f} |"
            )


FIGURES = Figures()
