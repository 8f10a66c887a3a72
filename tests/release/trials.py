"""What all schedules share: calls and effects as in `faults.c`, the folder of a trial, what must hold after it."""

from __future__ import annotations

import shutil
import signal
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from release.cases import Case, results
from release.children import COUNTING, Ended, Hit, child

FALLS_SHORT, KILLED_BEFORE, KILLED_HALF, KILLED_AFTER, CLOCK_BACK, CLOCK_AHEAD = -1, -2, -3, -4, -5, -6
"""Effects of a hit beside an errno; as in `faults.c`."""
CHANGES = ("write", "sync", "rename", "truncate", "unlink", "mkdir")


@dataclass
class Tally:
    """What came of a case."""

    trials: int = 0
    in_saves: int = 0
    disturbed: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, ended: Ended, *, kills: bool = False) -> None:
        """Count a trial; it was disturbed if it was killed, or did not end with 0."""
        self.trials += 1
        self.disturbed += ended.code == -signal.SIGKILL if kills else ended.code != 0
        self.codes[ended.code] += 1

    def fault(self, what: str) -> None:
        """Note a fault, and print it at once."""
        self.faults.append(what)
        print(what, flush=True)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.started


def fresh(case: Case, folder: Path) -> Path:
    """Return the trial's folder as it is before the command."""
    trial = folder / "trial"
    for path in (trial, *folder.glob("trial*")):
        shutil.rmtree(path, ignore_errors=True)
    return shutil.copytree(case.start, trial)


def names(trial: Path) -> set[str]:
    """Return the names of all files, but those of SQLite's logs, which a process that ends by itself removes."""
    return {str(path.relative_to(trial)) for path in trial.rglob("*")}


def whole(case: Case, folder: Path, calls: Hit = COUNTING) -> tuple[dict[str, str], set[str], Ended]:
    """Return what the command leaves if nobody disturbs it, and how many calls it makes."""
    trial = fresh(case, folder)
    ended = child(case.work, trial, calls)
    if ended.code:
        raise RuntimeError(f"{case.name}: {ended.printed}")
    return results(case, trial), names(trial), ended


def finished(case: Case, trial: Path, expected: dict[str, str], known: set[str]) -> str | None:
    """Run the command undisturbed, and return what is wrong with what it leaves."""
    ended = child(case.work, trial)
    if ended.code:
        return f"the next run ends with {ended.code}: {ended.printed.strip().splitlines()[-3:]}"
    if (found := results(case, trial)) != expected:
        return f"other results: {sorted(set(found.items()) ^ set(expected.items()))[:2]}"
    if names(trial) != known:
        return f"other files: {sorted(names(trial) ^ known)[:5]}"
    return None


def unclear(ended: Ended, codes: Collection[int] = (0, 2, 4)) -> str | None:
    """Return what is wrong with how a command ended that was disturbed."""
    if ended.code not in codes:
        return f"exit code {ended.code}: {ended.printed.strip().splitlines()[-4:]}"
    if "Traceback" in ended.printed:
        return "a traceback"
    if ended.code == 2 and ended.printed.count("Error:") != 1:
        return f"not one error message: {ended.printed.strip().splitlines()[-3:]}"
    return None


def evenly(count: int, most: int) -> list[int]:
    """Return numbers from 1 to a count: all of them, or so many, evenly spread."""
    return (
        [1 + (2 * at + 1) * count // (2 * most) for at in range(most)]
        if count > most
        else list(range(1, count + 1))
    )
