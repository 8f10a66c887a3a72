"""Locks between processes, the same on every system.

A lock is an exclusive transaction on an empty SQLite file. SQLite can lock files on Linux, macOS and Windows, the row
store needs its locks anyway, and the operating system frees a lock however its process ends.
"""

from __future__ import annotations

import errno
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_SECONDS_BETWEEN_TRIES = 0.1


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Let one process at a time run the block for `path`; the others wait. A killed process frees the lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent / f".{path.name}.lock", wait=True):
        yield


@contextmanager
def locked(file: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of `file`, which is created if it is missing and stays empty.

    Raises `BlockingIOError` if another process holds the lock and `wait` is False, `OSError` if the file cannot be
    locked; its number is `ENOLCK` where no file of the folder can be.
    """
    with closing(_opened(file)) as connection:
        while not _taken(connection, file):
            _check_locks(file.parent)
            if not wait:
                raise BlockingIOError(f"{file} is locked")
            time.sleep(_SECONDS_BETWEEN_TRIES)
        yield


def _opened(file: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise OSError(f"{file} cannot be locked: {error}") from None


def _taken(connection: sqlite3.Connection, file: Path) -> bool:
    try:
        # Nothing is ever written, so no journal is needed beside the file.
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            return False
        _check_locks(file.parent)
        raise OSError(f"{file} cannot be locked: {error}") from None
    return True


def _check_locks(folder: Path) -> None:
    """Raise `OSError` if not even a new file of the folder can be locked."""
    # SQLite calls a file busy, too, where the file system has no locks.
    try:
        import fcntl
    except ImportError:  # Windows, where SQLite says so
        return
    with tempfile.TemporaryFile(dir=folder) as new:
        try:
            fcntl.lockf(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OSError(errno.ENOLCK, "its file system has no locks", str(folder)) from None
