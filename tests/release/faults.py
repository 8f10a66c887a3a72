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
import csv
import ctypes
import errno
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pyarrow import parquet

from tiny_model import tiny_tokenizer, write_tiny_model
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
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Case:
    """A verb as it is tried: its command in a folder, what lies there before, and the files that it leaves.

    `left` are the results whose bytes are compared; `work` runs in place of the command where there is none.
    """

    name: str
    command: tuple[str, ...]
    start: Path
    left: tuple[str, ...]
    work: Callable[[Path], int] | None = None
    check: Callable[[Path, str], str | None] | None = None
    """Looks at the folder after a kill, given what the process has printed; returns what is wrong with it."""


@dataclass
class Ended:
    """How a child ended: its exit code, or minus its signal; what it printed; how many calls were counted."""

    code: int
    printed: str
    seconds: float
    counted: int


@dataclass
class Tally:
    """What came of a case."""

    trials: int = 0
    disturbed: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


# -- children -------------------------------------------------------------------------------------------------


def child(
    case: Case, folder: Path, arm: tuple[int, int, int, bool] | None = None, kill_after: float | None = None
) -> Ended:
    """Run a case's command in a fork: calls, number, effect and whether it stays armed; or a kill after seconds."""
    log, count = folder.with_name("log"), folder.with_name("count")
    for left in (log, count):
        left.unlink(missing_ok=True)
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _be_child(case, folder, log, count, arm)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    code = _waited(pid, started)
    counted = int(count.read_text()) if count.exists() else 0
    printed = log.read_text(errors="replace") if log.exists() else ""
    return Ended(code, printed, time.monotonic() - started, counted)


def _be_child(
    case: Case, folder: Path, log: Path, count: Path, arm: tuple[int, int, int, bool] | None
) -> None:
    code = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        os.chdir(folder.parent)
        shim = ctypes.CDLL(None)
        if arm is not None:
            calls, number, effect, stays = arm
            shim.faults_arm(str(folder).encode(), calls, ctypes.c_long(number), effect, int(stays))
        code = case.work(folder) if case.work else _verb(case, folder)
        shim.faults_disarm()
        count.write_text(str(shim.faults_counted()))
        folder.with_name("modules").write_text("\n".join(sys.modules))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _verb(case: Case, folder: Path) -> int:
    from whylabel.cli.main import main

    return main([part.replace("FOLDER", str(folder)) for part in case.command])


def _waited(pid: int, started: float) -> int:
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - started > PATIENCE_SECONDS:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError(f"a child was silent for {PATIENCE_SECONDS} s")
        time.sleep(0.002)


# -- the cases ------------------------------------------------------------------------------------------------


def prepared(folder: Path) -> list[Case]:
    """Return all cases; a tiny run is made once, in whose folder each of them starts."""
    model = folder / "model"
    trial = folder / "trial"

    def make_model(_: Path) -> int:
        write_tiny_model(model, tiny_tokenizer())
        return 0

    trial.mkdir()
    child(Case("model", (), trial, (), work=make_model), trial)
    starts = {name: folder / f"before-{name}" for name in ("augment", "train", "evaluate", "done")}
    recipe = {
        "base_model": str(model),
        "data": {"train_rows": 60, "test_rows": 12, "validation_rows": 6},
        "reasoner": {"model": str(model)},
        "augment": {"engine": "scripted", "sampling": {"max_new_tokens": 24}},
        "training": {"per_device_train_batch_size": 4, "save_steps": 3, "num_train_epochs": 1},
        "evaluation": {"bootstrap_samples": 100, "quality_rows": 0},
        "classifier": {"target": "dual"},
    }
    (trial / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    lines = [{"id": f"r{number}", "text": f"a text of number {number}"} for number in range(40)]
    (trial / "texts.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def verb(name: str) -> tuple[str, ...]:
        return (name, "FOLDER/recipe.yaml", "--output", "FOLDER/run")

    def after(name: str, start: str) -> None:
        ended = child(Case(name, verb(name), trial, ()), trial)
        if ended.code:
            raise RuntimeError(ended.printed)
        _import_what_it_did(trial)
        shutil.copytree(trial, starts[start])

    shutil.copytree(trial, starts["augment"])
    after("augment", "train")
    after("train", "evaluate")
    after("evaluate", "done")
    weights = ("run/classifier/model/model.safetensors", "run/baseline/model/model.safetensors")
    return [
        Case("augment", verb("augment"), starts["augment"], ("run/augment/*.parquet",), check=_rows_are_kept),
        Case("train", verb("train"), starts["train"], weights, check=_steps_are_kept),
        Case("evaluate", verb("evaluate"), starts["evaluate"], ("run/evaluation/*.parquet",)),
        Case(
            "predict",
            (
                "predict",
                "--model",
                "FOLDER/run",
                "--input",
                "FOLDER/texts.jsonl",
                "--output",
                "FOLDER/out.csv",
            ),
            starts["done"],
            ("out.csv",),
        ),
        Case(
            "export",
            ("export", "FOLDER/run", "--format", "merged", "--output", "FOLDER/exported"),
            starts["done"],
            ("exported/*.safetensors", "exported/*.json"),
        ),
        Case("review", (), starts["done"], (), work=_review, check=_decisions_are_kept),
    ]


def _review(folder: Path) -> int:
    """Decide on every reasoning of the run as the page does, and print the row once the decision is made."""
    from whylabel.page import review, runs
    from whylabel.page.schemas import DecisionRequest
    from whylabel.run_folder import RunFolder

    run = runs.ServedRun("run", RunFolder(folder / "run"), ())
    known = runs.all_decisions(run)
    for row in runs.reasonings(run, "kept", runs.dealt_reasonings(run, "kept", "reader")):
        if row.row in known:
            continue
        body = DecisionRequest(
            by="reader", row=row.row, reasoning_hash=row.reasoning_hash, known=0, verdict="accepted"
        )
        review.record_decision(run, body)
        os.write(1, f"decided {row.row}\n".encode())
    return 0


def _decisions_are_kept(folder: Path, printed: str) -> str | None:
    said = re.findall(r"^decided (\w+)$", printed, re.MULTILINE)
    kept = _asked(folder / "run/augment/store.sqlite", "SELECT row FROM decisions")
    if len(set(kept)) != len(kept):
        return "a decision is there twice"
    if lost := set(said) - set(kept):
        return f"{len(lost)} decisions are lost"
    return "more is kept than was decided" if len(kept) > len(said) + 1 else None


def _rows_are_kept(folder: Path, printed: str) -> str | None:
    """A row is in the store once, and whole."""
    store = folder / "run/augment/store.sqlite"
    if not store.exists():
        return None
    check = _asked(store, "PRAGMA integrity_check")
    return None if check == ["ok"] else f"the store is broken: {check}"


def _steps_are_kept(folder: Path, printed: str) -> str | None:
    """A checkpoint that says that it is complete has all its files, none of them empty."""
    for mark in folder.glob("run/**/checkpoint-*/complete.json"):
        empty = [path.name for path in mark.parent.iterdir() if path.is_file() and not path.stat().st_size]
        if empty:
            return f"{mark.parent.name} is called complete, and {empty} are empty"
    return None


def _asked(store: Path, question: str) -> list[Any]:
    """Ask a copy of the store: to open it would mend it."""
    with tempfile.TemporaryDirectory() as copy:
        for path in store.parent.glob(f"{store.name}*"):
            shutil.copy(path, copy)
        connection = sqlite3.connect(Path(copy) / store.name)
        try:
            return [value for (value,) in connection.execute(question)]
        except sqlite3.OperationalError as error:
            # The process was killed before it had made the tables.
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()


# -- trials ---------------------------------------------------------------------------------------------------


def fresh(case: Case, folder: Path) -> Path:
    """Return the trial's folder as it is before the command."""
    trial = folder / "trial"
    for path in (trial, *folder.glob("trial*")):
        shutil.rmtree(path, ignore_errors=True)
    return shutil.copytree(case.start, trial)


def results(case: Case, trial: Path) -> dict[str, str]:
    """Return hashes of what a command has left; of predictions without the seconds that they took."""
    files = sorted(path for pattern in case.left for path in trial.glob(pattern))
    found = {str(path.relative_to(trial)): hashlib.sha256(_content(path)).hexdigest() for path in files}
    if case.name == "review":
        rows = sorted(_asked(trial / "run/augment/store.sqlite", "SELECT row FROM decisions"))
        found["decisions"] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


def _content(path: Path) -> bytes:
    """Return a file's content; of tables the rows, without seconds and the last bits of what was computed."""
    if path.suffix == ".parquet":
        rows = parquet.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    else:
        return path.read_bytes()
    return json.dumps(
        [{name: _rounded(row[name]) for name in row if name != "seconds"} for row in rows]
    ).encode()


def _rounded(value: Any) -> Any:
    # How many rows are computed together decides on some processors the last bits of a probability.
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, float):
        return round(value, 4)
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def names(trial: Path) -> set[str]:
    """Return the names of all files, but those of SQLite's logs, which a process that ends by itself removes."""
    return {str(path.relative_to(trial)) for path in trial.rglob("*")}


def whole(case: Case, folder: Path, calls: int) -> tuple[dict[str, str], set[str], Ended]:
    """Return what the command leaves if nobody disturbs it, and how many calls it makes."""
    trial = fresh(case, folder)
    ended = child(case, trial, (calls, 0, 0, False))
    if ended.code:
        raise RuntimeError(f"{case.name}: {ended.printed}")
    return results(case, trial), names(trial), ended


def finished(case: Case, trial: Path, expected: dict[str, str], known: set[str]) -> str | None:
    """Run the command undisturbed, and return what is wrong with what it leaves."""
    ended = child(case, trial)
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
            ended = child(case, trial, kill_after=instant)
        else:
            number = rng.randint(1, undisturbed.counted)
            effect = rng.choice((KILLED_BEFORE, KILLED_HALF, KILLED_AFTER))
            what = f"at call {number} of {undisturbed.counted} ({effect})"
            ended = child(case, trial, (calls, number, effect, False))
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
            ended = child(case, trial, (CALLS[call], number, effect, stays))
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


def _import_what_it_did(folder: Path) -> None:
    """Import what the last child has imported, so that the next one need not. Nothing is computed before a fork."""
    for name in folder.with_name("modules").read_text().splitlines():
        if name.partition(".")[0] != "__main__":
            with suppress(Exception):  # names that only look like modules
                importlib.import_module(name)


def run(arguments: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Return the figures of all cases that are wanted."""
    rng, table = random.Random(arguments.seed), []
    for case in prepared(place):
        if arguments.verbs and case.name not in arguments.verbs:
            continue
        child(case, fresh(case, place))
        _import_what_it_did(place / "trial")
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
