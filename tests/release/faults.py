"""Kill the verbs at every write, sync and rename, let their system calls fail, and look at what is left.

    PYTHONPATH=tests:src python -m release.faults kills --times 1000 --verbs augment --output FILE
    PYTHONPATH=tests:src python -m release.faults failures --output FILE

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
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from release.cases import Case, prepared, results
from release.children import Ended, child, import_what_it_did
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions

CALLS = {
    "open": 1,
    "write": 2,
    "sync": 4,
    "rename": 8,
    "truncate": 16,
    "unlink": 32,
    "mkdir": 64,
    "read": 128,
}
FALLS_SHORT, KILLED_BEFORE, KILLED_HALF, KILLED_AFTER = -1, -2, -3, -4
"""Effects of a hit beside an errno; as in `faults.c`."""
CHANGES = ("write", "sync", "rename", "truncate", "unlink", "mkdir")
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


@dataclass
class Tally:
    """What came of a case."""

    trials: int = 0
    disturbed: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def fresh(case: Case, folder: Path) -> Path:
    """Return the trial's folder as it is before the command."""
    trial = folder / "trial"
    for path in (trial, *folder.glob("trial*")):
        shutil.rmtree(path, ignore_errors=True)
    return shutil.copytree(case.start, trial)


def names(trial: Path) -> set[str]:
    """Return the names of all files, but those of SQLite's logs, which a process that ends by itself removes."""
    return {str(path.relative_to(trial)) for path in trial.rglob("*")}


def whole(case: Case, folder: Path, calls: int) -> tuple[dict[str, str], set[str], Ended]:
    """Return what the command leaves if nobody disturbs it, and how many calls it makes."""
    trial = fresh(case, folder)
    ended = child(case.work, trial, (calls, 0, 0, False))
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


def kills(case: Case, folder: Path, times: int, rng: random.Random) -> Tally:
    """Kill a case so many times, half of them at a call on a file and half at a random instant."""
    calls = sum(CALLS[name] for name in CHANGES)
    expected, known, undisturbed = whole(case, folder, calls)
    tally, started = Tally(), time.monotonic()
    for trial_number in range(times):
        trial = fresh(case, folder)
        if trial_number % 2:
            what = f"after {(instant := rng.uniform(0, undisturbed.seconds)):.4f} s"
            ended = child(case.work, trial, kill_after=instant)
        else:
            number = rng.randint(1, undisturbed.counted)
            effect = rng.choice((KILLED_BEFORE, KILLED_HALF, KILLED_AFTER))
            what = f"at call {number} of {undisturbed.counted} ({effect})"
            ended = child(case.work, trial, (calls, number, effect, False))
        tally.trials += 1
        tally.disturbed += ended.code == -signal.SIGKILL
        tally.codes[ended.code] += 1
        wrong = case.check and case.check(trial, ended.printed)
        wrong = wrong or finished(case, trial, expected, known)
        if wrong:
            tally.faults.append(f"{what}: {wrong}")
            print(f"{case.name} {what}: {wrong}", flush=True)
    tally.seconds = round(time.monotonic() - started, 1)
    return tally


def failures(case: Case, folder: Path, most: int) -> Iterator[tuple[str, str, Tally]]:
    """Let call after call of each kind fail, at most so many of a kind, evenly spread."""
    for name, call, effect, stays in FAILURES:
        expected, known, undisturbed = whole(case, folder, CALLS[call])
        count = undisturbed.counted
        numbers = sorted(
            {1 + at * count // most for at in range(most)} if count > most else range(1, count + 1)
        )
        tally, started = Tally(), time.monotonic()
        for number in numbers:
            trial = fresh(case, folder)
            ended = child(case.work, trial, (CALLS[call], number, effect, stays))
            tally.trials += 1
            tally.disturbed += ended.code != 0
            tally.codes[ended.code] += 1
            wrong = _unclear(ended) or finished(case, trial, expected, known)
            if wrong:
                tally.faults.append(f"{call} {number} of {count}: {wrong}")
                print(f"{case.name} {name} {call} {number} of {count}: {wrong}", flush=True)
        tally.seconds = round(time.monotonic() - started, 1)
        yield name, call, tally


def _unclear(ended: Ended) -> str | None:
    """Return what is wrong with how a command ended whose call failed."""
    if ended.code not in (0, 2, 4):
        return f"exit code {ended.code}: {ended.printed.strip().splitlines()[-4:]}"
    if "Traceback" in ended.printed:
        return "a traceback"
    if ended.code == 2 and "Error:" not in ended.printed:
        return f"no error message: {ended.printed.strip().splitlines()[-3:]}"
    return None


def main() -> int:
    """Try what is asked for; the exit code is 1 if a fault was found."""
    known = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known.add_argument("what", choices=("kills", "failures"))
    known.add_argument("--verbs", nargs="+", metavar="VERB")
    known.add_argument("--times", type=int, default=20, help="kills of a verb")
    known.add_argument("--most", type=int, default=12, help="calls of a kind that fail, of each verb")
    known.add_argument("--seed", type=int, default=13)
    known.add_argument("--output", type=Path)
    arguments = known.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if "FAULTS_ARE_LOADED" not in os.environ:
            return _again(Path(place))
        found = run(arguments, Path(place).resolve())
    for line in found["table"]:
        print(json.dumps(line))
    if arguments.output:
        write_json(arguments.output, found)
    return int(any(line["faults"] for line in found["table"]))


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
    return subprocess.run(command, env={**os.environ, **own}, check=False).returncode


def run(arguments: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Return the figures of all cases that are wanted."""
    rng, table = random.Random(arguments.seed), []
    for case in prepared(place):
        if arguments.verbs and case.name not in arguments.verbs:
            continue
        child(case.work, fresh(case, place))
        import_what_it_did(place / "trial")
        if arguments.what == "kills":
            table.append({"verb": case.name, **_line(kills(case, place, arguments.times, rng))})
        else:
            for name, call, tally in failures(case, place, arguments.most):
                table.append({"verb": case.name, "failure": name, "call": call, **_line(tally)})
    return {"table": table, "seed": arguments.seed, "machine": {**hardware(), **versions()}}


def _line(tally: Tally) -> dict[str, Any]:
    return {**vars(tally), "codes": {str(code): count for code, count in sorted(tally.codes.items())}}


if __name__ == "__main__":
    sys.exit(main())
