"""Work in a child process, which prints into a file, and whose calls on files can be counted, fail or end it."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PATIENCE_SECONDS = 600

CALLS = {
    "open": 1,
    "write": 2,
    "sync": 4,
    "rename": 8,
    "truncate": 16,
    "unlink": 32,
    "mkdir": 64,
    "read": 128,
    "lock": 256,
}
"""The kinds of calls, as in `faults.c`."""

Work = Callable[[Path], int]
"""What is done in a folder; returns the exit code."""


@dataclass(frozen=True)
class Hit:
    """Which call on a file below the folder is disturbed, and how; as in `faults.c`."""

    calls: int
    number: int = 0
    """0 only counts the calls."""
    effect: int = 0
    stays: bool = False
    part: str = ""
    """Only paths that contain this count."""


COUNTING = Hit(0)
"""Disturbs nothing, and counts."""


@dataclass
class Ended:
    """How a child ended: its exit code, or minus its signal; what it printed; how many calls were counted.

    `counted` has all calls of each kind, and as `hits` those that the hit named.
    """

    code: int
    printed: str
    seconds: float
    counted: dict[str, int]


def child(work: Work, folder: Path, hit: Hit | None = None, kill_after: float | None = None) -> Ended:
    """Do work in a fork, where a call is disturbed, or which is killed after so many seconds."""
    log, count = folder.with_name("log"), folder.with_name("count")
    for left in (log, count):
        left.unlink(missing_ok=True)
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _be_child(work, folder, log, count, hit)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    code = _waited(pid, started)
    counted = json.loads(count.read_text()) if count.exists() else {}
    printed = log.read_text(errors="replace") if log.exists() else ""
    return Ended(code, printed, time.monotonic() - started, counted)


def _be_child(work: Work, folder: Path, log: Path, count: Path, hit: Hit | None) -> None:
    code = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        os.chdir(folder.parent)
        shim = ctypes.CDLL(None)
        if hit is not None:
            number = ctypes.c_long(hit.number)
            shim.faults_arm(
                str(folder).encode(), hit.part.encode(), hit.calls, number, hit.effect, int(hit.stays)
            )
        code = work(folder)
        shim.faults_disarm()
        counts = {call: shim.faults_counted_of(bit) for call, bit in CALLS.items()}
        count.write_text(json.dumps({"hits": shim.faults_counted(), **counts}))
        folder.with_name("modules").write_text("\n".join(sys.modules))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


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


def import_what_it_did(folder: Path) -> None:
    """Import what the last child has imported, so that the next one need not. Nothing is computed before a fork."""
    for name in folder.with_name("modules").read_text().splitlines():
        if name.partition(".")[0] != "__main__":
            with suppress(Exception):  # names that only look like modules
                importlib.import_module(name)
