"""Commits rows of the store in the background."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Generic, TypeVar

from whylabel.reasonings.schema import connect

_MOST_WAITING = 4096
_MOST_IN_BATCH = 1024

Row = TypeVar("Row")


class Writer(Generic[Row]):
    """Commits rows in a thread of its own: one at a time where they come slowly, in batches where they come fast.

    Engines hand over a batch at a time and then compute for seconds: what came must be on disk meanwhile.
    `commit` commits rows in one transaction.
    """

    def __init__(self, path: Path, commit: Callable[[sqlite3.Connection, list[Row]], None]) -> None:
        self._path = path
        self._commit = commit
        self._waiting: Queue[Row | None] = Queue(_MOST_WAITING)
        self._error: Exception | None = None
        self._thread = Thread(target=self._work, name="whylabel-store", daemon=True)
        self._thread.start()

    def put(self, row: Row) -> None:
        """Hand over a row. Raises what went wrong with an earlier one."""
        if self._error is not None:
            raise self._error
        self._waiting.put(row)

    def flush(self) -> None:
        """Wait until everything that was handed over is committed. Raises what went wrong with a row."""
        self._waiting.join()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Flush and end. Raises what went wrong with a row."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            connection = connect(self._path)
        except Exception as error:
            self._error = error
        more = True
        while more:
            batch = [self._waiting.get()]
            while len(batch) < _MOST_IN_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            more = batch[-1] is not None
            # After an error, whatever it is, the queue is still emptied, so that nobody waits for it.
            if self._error is None:
                try:
                    self._commit(connection, [row for row in batch if row is not None])
                except Exception as error:
                    self._error = error
            for _ in batch:
                self._waiting.task_done()
        if self._error is None:
            connection.close()
