"""Kill the verbs at every write, sync and rename, let their system calls and disks fail, and look at what is left.

    PYTHONPATH=tests:src python -m release.faults kills --times 1000 --verbs augment --output FILE
    PYTHONPATH=tests:src python -m release.faults failures --output FILE
    PYTHONPATH=tests:src python -m release.faults systems --output FILE     # mounts: as root, or in a namespace

One process imports everything and forks for each trial, so that a trial takes as long as the verb and no longer. A
small library (`faults.c`, which needs a C compiler) is preloaded: it ends the process at the n-th call on a file
below the trial's folder, before it, after it, or with half of the bytes written, or lets the call fail. Every other
kill comes at a random instant instead. The same command then runs once more, undisturbed. What it leaves has to equal
what a run leaves that nobody disturbed.
"""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from release.cases import TRAINER, VERBS, Case, prepared
from release.children import CALLS, Hit, child, import_what_it_did
from release.systems import systems
from release.trials import (
    CHANGES,
    FALLS_SHORT,
    KILLED_AFTER,
    KILLED_BEFORE,
    KILLED_HALF,
    Tally,
    evenly,
    finished,
    fresh,
    unclear,
    whole,
)
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions

FAILURES: tuple[tuple[str, str, int, bool], ...] = (
    ("ENOSPC", "write", errno.ENOSPC, True),
    ("ENOSPC", "mkdir", errno.ENOSPC, True),
    ("EIO", "write", errno.EIO, False),
    ("EIO", "sync", errno.EIO, False),
    ("EIO", "read", errno.EIO, False),
    ("EIO", "rename", errno.EIO, False),
    ("EMFILE", "open", errno.EMFILE, False),
    ("EACCES", "open", errno.EACCES, False),
    ("EACCES", "rename", errno.EACCES, False),
    ("EROFS", "unlink", errno.EROFS, False),
    ("EINTR", "write", errno.EINTR, False),
    ("short", "write", FALLS_SHORT, False),
    ("short", "read", FALLS_SHORT, False),
)
"""What fails: its name, the call, the effect, and whether all later calls of the kind fail, too."""


def kills(case: Case, folder: Path, times: int, minutes: float, rng: random.Random) -> Tally:
    """Kill a case so many times, half of them at a call on a file and half at a random instant.

    Where a case has saves, half of the kills come in these, a quarter at any call and a quarter at an instant. No
    further kill begins after so many minutes.
    """
    calls = sum(CALLS[name] for name in CHANGES)
    expected, known, undisturbed = whole(case, folder, Hit(calls))
    in_saves = whole(case, folder, Hit(calls, part=case.saves))[2].counted["hits"] if case.saves else 0
    tally = Tally()
    for trial_number in range(times):
        if tally.seconds > 60 * minutes:
            break
        trial = fresh(case, folder)
        if trial_number % (4 if case.saves else 2) == 1:
            what = f"after {(instant := rng.uniform(0, undisturbed.seconds)):.4f} s"
            ended = child(case.work, trial, kill_after=instant)
        else:
            part = case.saves if trial_number % 2 == 0 else ""
            counted = in_saves if part else undisturbed.counted["hits"]
            number = rng.randint(1, counted)
            effect = rng.choice((KILLED_BEFORE, KILLED_HALF, KILLED_AFTER))
            what = f"at call {number} of {counted} {part} ({effect})"
            ended = child(case.work, trial, Hit(calls, number, effect, part=part))
            tally.in_saves += bool(part)
        tally.add(ended, kills=True)
        wrong = (
            case.check and case.check(trial, ended.printed),
            finished(case, trial, expected, known),
        )
        if any(wrong):
            tally.fault(f"{case.name} {what}: {'; '.join(filter(None, wrong))}")
    return tally


def failures(case: Case, folder: Path, most: int) -> Iterator[tuple[str, str, Tally]]:
    """Let call after call of each kind fail, at most so many of a kind, evenly spread."""
    expected, known, undisturbed = whole(case, folder)
    for name, call, effect, stays in FAILURES:
        tally, count = Tally(), undisturbed.counted[call]
        for number in evenly(count, most):
            trial = fresh(case, folder)
            ended = child(case.work, trial, Hit(CALLS[call], number, effect, stays))
            tally.add(ended)
            wrong = unclear(ended) or finished(case, trial, expected, known)
            if wrong:
                tally.fault(f"{case.name} {name} {call} {number} of {count}: {wrong}")
        yield name, call, tally


def main() -> int:
    """Try what is asked for; the exit code is 1 if a fault was found."""
    known = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known.add_argument("what", nargs="+", choices=("failures", "systems", "kills"))
    known.add_argument("--verbs", nargs="+", choices=(*VERBS, TRAINER), default=VERBS)
    known.add_argument("--times", type=int, default=20, help="kills of a verb")
    known.add_argument("--minutes", type=float, default=math.inf, help="no more kills of a verb after these")
    known.add_argument("--most", type=int, default=12, help="calls of a kind that fail, of each verb")
    known.add_argument("--seed", type=int, default=13)
    known.add_argument("--output", type=Path)
    arguments = known.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if "FAULTS_ARE_LOADED" not in os.environ:
            return _again(Path(place))
        table: list[dict[str, Any]] = []
        machine = {**hardware(), **versions()}
        for line in lines(arguments, Path(place).resolve()):
            print(json.dumps(line), flush=True)
            table.append(line)
            if arguments.output:
                write_json(arguments.output, {"table": table, "seed": arguments.seed, "machine": machine})
    return int(any(line["faults"] for line in table))


def _again(place: Path) -> int:
    """Run this script with the library loaded and one thread: a fork has no other."""
    library = place / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    own = {
        "LD_PRELOAD": str(library),
        "FAULTS_ARE_LOADED": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [sys.executable, "-m", "release.faults", *sys.argv[1:]]
    if "systems" in sys.argv:
        command = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), *command]
    return subprocess.run(command, env={**os.environ, **own}, check=False).returncode


def lines(arguments: argparse.Namespace, place: Path) -> Iterator[dict[str, Any]]:
    """Yield the figures of all cases that are wanted, each as soon as it is known."""
    rng = random.Random(arguments.seed)
    for case in prepared(place, arguments.verbs):
        child(case.work, fresh(case, place))
        import_what_it_did(place / "trial")
        for what in arguments.what:
            for named, tally in _tallies(what, case, place, arguments, rng):
                yield {"verb": case.name, **named, **_line(tally)}


def _tallies(
    what: str, case: Case, place: Path, arguments: argparse.Namespace, rng: random.Random
) -> Iterator[tuple[dict[str, str], Tally]]:
    if what == "failures":
        for name, call, tally in failures(case, place, arguments.most):
            yield {"failure": name, "call": call}, tally
    elif what == "systems":
        for name, tally in systems(case, place, arguments.most):
            yield {"system": name}, tally
    else:
        yield {}, kills(case, place, arguments.times, arguments.minutes, rng)


def _line(tally: Tally) -> dict[str, Any]:
    return {
        "trials": tally.trials,
        "in_saves": tally.in_saves,
        "disturbed": tally.disturbed,
        "codes": {str(code): count for code, count in sorted(tally.codes.items())},
        "faults": tally.faults,
        "seconds": round(tally.seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
