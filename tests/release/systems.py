"""Systems that are full, read-only, without locks, or whose clock jumps: what the verbs do there, and afterwards.

The trial's folder is a small file system of its own, in a mount namespace that ends with this process. Locks and the
clock are those of `faults.c`.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from release.cases import Case, results
from release.children import CALLS, COUNTING, Hit, child
from release.trials import CLOCK_AHEAD, CLOCK_BACK, Tally, evenly, finished, names, unclear

_ROOM = 1 << 30


class Disk:
    """A file system in memory, where a case's folder lies."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(exist_ok=True)

    def hold(self, case: Case) -> None:
        """Hold what a case starts from, and have room for more."""
        self.leave()
        _run("mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "tmpfs", self.place)
        shutil.copytree(case.start, self.place, dirs_exist_ok=True)

    def used(self) -> int:
        state = os.statvfs(self.place)
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    def become(self, option: str) -> None:
        """Be `ro`, `rw` or of another size: `size=N`."""
        _run("mount", "-o", f"remount,{option}", self.place)

    def leave(self) -> None:
        if os.path.ismount(self.place):
            _run("umount", self.place)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def systems(case: Case, folder: Path, most: int) -> Iterator[tuple[str, Tally]]:
    """Try a case on each system: on disks of so many sizes, with clocks that jump at so many writes."""
    disk = Disk(folder / "trial")
    disk.hold(case)
    before, used = results(case, disk.place), disk.used()
    undisturbed = child(case.work, disk.place, COUNTING)
    if undisturbed.code:
        raise RuntimeError(f"{case.name}: {undisturbed.printed}")
    expected, known, grown = results(case, disk.place), names(disk.place), disk.used() - used

    def tried(option: str, hit: Hit | None, codes: tuple[int, ...], tally: Tally, what: str) -> None:
        disk.hold(case)
        disk.become(option)
        ended = child(case.work, disk.place, hit)
        tally.add(ended)
        wrong = unclear(ended, codes) or _torn(results(case, disk.place), before, expected)
        disk.become(f"rw,size={_ROOM}")
        wrong = wrong or (case.check and case.check(disk.place, ended.printed))
        wrong = wrong or finished(case, disk.place, expected, known)
        if wrong:
            tally.fault(f"{case.name} {what}: {wrong}")

    try:
        tally = Tally()
        for part in range(most):
            size = used + grown * part // most
            tried(f"size={size}", None, (0, 2), tally, f"with {part}/{most} of the room that it needs")
        yield "full disk", tally

        tally = Tally()
        tried("ro", None, (2,), tally, "on a read-only disk")
        yield "read-only disk", tally

        for effect, name in ((CLOCK_BACK, "clock jumps back"), (CLOCK_AHEAD, "clock jumps ahead")):
            tally = Tally()
            for number in evenly(undisturbed.counted["write"], most):
                tried("rw", Hit(CALLS["write"], number, effect), (0,), tally, f"{name} at write {number}")
            yield name, tally

        for number, name in ((errno.ENOLCK, "ENOLCK"), (errno.ENOTSUP, "ENOTSUP")):
            tally = Tally()
            tried("rw", Hit(CALLS["lock"], 1, number, stays=True), (0, 2), tally, f"no locks, {name}")
            yield f"no locks ({name})", tally
    finally:
        disk.leave()


def _torn(found: dict[str, str], before: dict[str, str], after: dict[str, str]) -> str | None:
    """Return which files have neither their old nor their new content."""
    torn = [name for name, content in found.items() if content not in (before.get(name), after.get(name))]
    return f"other content: {torn}" if torn else None
