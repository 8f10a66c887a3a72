"""The durable row store of reasonings (SQLite): what was written for every text, and under which settings.

A reasoning is found by its row (a hash of text and label), the settings that it was written under, its condition
and its candidate number, so a changed recipe runs exactly the rows that it changes. Rows are committed by a thread
of their own, each as soon as the disk takes it: killed at any instant, nothing committed is lost.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from operator import attrgetter
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, Literal

from whylabel.errors import RunFolderError
from whylabel.host.atomic import one_at_a_time
from whylabel.types import Condition, Example, Lift

State = Literal["done", "failed"]
Verdict = Literal["accepted", "edited", "rejected"]
Place = tuple[str, Condition, int]
"""Where a reasoning stands: row, condition, candidate."""

_VERSION = 2
_MOST_WAITING = 4096
_MOST_IN_BATCH = 1024
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS settings (number INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS reasonings (
    row TEXT NOT NULL,
    settings INTEGER NOT NULL REFERENCES settings (number),
    condition TEXT NOT NULL CHECK (condition IN ('label', 'free')),
    candidate INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    reasoning TEXT NOT NULL,
    finished INTEGER NOT NULL,
    token_limit INTEGER NOT NULL,
    error TEXT,
    prompt_tokens INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (row, settings, condition, candidate)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lifts (
    row TEXT NOT NULL,
    settings INTEGER NOT NULL,
    condition TEXT NOT NULL,
    candidate INTEGER NOT NULL,
    verifier TEXT NOT NULL,
    gold REAL NOT NULL,
    rival TEXT NOT NULL,
    rival_lift REAL NOT NULL,
    PRIMARY KEY (row, settings, condition, candidate, verifier)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (
    number INTEGER PRIMARY KEY,
    row TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('accepted', 'edited', 'rejected')),
    reasoning TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    note TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS decisions_of_a_row ON decisions (row);
PRAGMA user_version = {_VERSION};
"""


@dataclass(frozen=True, slots=True)
class StoredReasoning:
    """What the store knows of one candidate reasoning. `finished` is False where `token_limit` ended it."""

    row: str
    condition: Condition
    candidate: int
    id: str
    state: State
    reasoning: str = ""
    finished: bool = True
    token_limit: int = 0
    error: str | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    attempts: int = 1

    @property
    def place(self) -> Place:
        """Where it stands under its settings."""
        return self.row, self.condition, self.candidate


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about a row's reasoning; it outweighs filters and verifier. `decided_at` is in UTC."""

    row: str
    verdict: Verdict
    reasoning: str
    decided_by: str
    decided_at: str
    note: str = ""


_COLUMNS = tuple(field.name for field in fields(StoredReasoning))
_VALUES = attrgetter(*_COLUMNS)
_FINISHED = _COLUMNS.index("finished")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM reasonings"
_PUT = (
    f"INSERT OR REPLACE INTO reasonings ({', '.join(_COLUMNS)}, settings) VALUES ({'?, ' * len(_COLUMNS)}?)"
)


class ReasoningStore:
    """An open store; use `open_store`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def settings_number(self, settings: Mapping[str, Any]) -> int:
        """Return the number under which these settings are known; new ones get the next."""
        content = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        with self._connection:
            self._connection.execute("INSERT OR IGNORE INTO settings (content) VALUES (?)", (content,))
        row = self._connection.execute("SELECT number FROM settings WHERE content = ?", (content,))
        return int(row.fetchone()[0])

    def settings(self) -> dict[int, dict[str, Any]]:
        """Return all settings by number."""
        found = self._connection.execute("SELECT number, content FROM settings")
        return {number: json.loads(content) for number, content in found}

    def rename_reasoner(self, old: str, new: str) -> None:
        """Let reasonings that stand under one identity of their reasoner stand under another from now on."""
        for number, content in self.settings().items():
            if content.get("reasoner") == old != new:
                renamed = json.dumps({**content, "reasoner": new}, sort_keys=True, ensure_ascii=False)
                with self._connection:
                    self._connection.execute(
                        "UPDATE OR IGNORE settings SET content = ? WHERE number = ?", (renamed, number)
                    )

    def rename_verifier(self, old: str, new: str) -> None:
        """Let verdicts that stand under one identity of their verifier stand under another from now on."""
        with self._connection:
            self._connection.execute("UPDATE OR IGNORE lifts SET verifier = ? WHERE verifier = ?", (new, old))

    def put(self, rows: Iterable[StoredReasoning], settings: int) -> None:
        """Commit rows in one transaction; a row at a place that is taken replaces what is there."""
        _put(self._connection, rows, settings)

    def find(self, rows: Sequence[str], settings: int) -> dict[Place, StoredReasoning]:
        """Return everything that was written for some rows (a few thousand at the most) under the settings."""
        found = self._connection.execute(
            f"{_SELECT} WHERE settings = ? AND row IN ({_marks(rows)})", (settings, *rows)
        )
        stored = (_stored(values) for values in found)
        return {row.place: row for row in stored}

    def put_lifts(self, lifts: Mapping[Place, Lift], settings: int, verifier: str) -> None:
        """Commit a verifier's verdicts in one transaction."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO lifts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (row, settings, condition, candidate, verifier, lift.gold, lift.rival, lift.rival_lift)
                    for (row, condition, candidate), lift in lifts.items()
                ),
            )

    def find_lifts(self, rows: Sequence[str], settings: int, verifier: str) -> dict[Place, Lift]:
        """Return a verifier's verdicts on the reasonings of some rows (a few thousand at the most)."""
        found = self._connection.execute(
            "SELECT row, condition, candidate, gold, rival, rival_lift FROM lifts "
            f"WHERE settings = ? AND verifier = ? AND row IN ({_marks(rows)})",
            (settings, verifier, *rows),
        )
        return {(row, condition, candidate): Lift(*lift) for row, condition, candidate, *lift in found}

    def put_decisions(self, decisions: Iterable[Decision]) -> None:
        """Add people's decisions to the record, in one transaction; earlier ones stay in it."""
        with self._connection:
            self._connection.executemany(
                "INSERT INTO decisions (row, verdict, reasoning, decided_by, decided_at, note) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                map(astuple, decisions),
            )

    def find_decisions(self, rows: Sequence[str]) -> dict[str, Decision]:
        """Return the latest decision on each of some rows (a few thousand at the most)."""
        found = self._connection.execute(
            "SELECT row, verdict, reasoning, decided_by, decided_at, note FROM decisions "
            f"WHERE row IN ({_marks(rows)}) ORDER BY number",
            tuple(rows),
        )
        return {values[0]: Decision(*values) for values in found}

    def count_decisions(self) -> int:
        """Return how many decisions are on record."""
        (count,) = self._connection.execute("SELECT count(*) FROM decisions").fetchone()
        return int(count)

    def written_otherwise(self, rows: Sequence[str], settings: int) -> dict[int, int]:
        """Return how many of the rows have a finished reasoning under which other settings, the newest alone."""
        found = self._connection.execute(
            f"SELECT max(settings) FROM reasonings WHERE state = 'done' AND settings != ? "
            f"AND row IN ({_marks(rows)}) GROUP BY row",
            (settings, *rows),
        )
        counts: dict[int, int] = {}
        for (number,) in found:
            counts[number] = counts.get(number, 0) + 1
        return counts

    def __iter__(self) -> Iterator[StoredReasoning]:
        return (_stored(values) for values in self._connection.execute(_SELECT))

    def __len__(self) -> int:
        (count,) = self._connection.execute("SELECT count(*) FROM reasonings").fetchone()
        return int(count)

    @contextmanager
    def writer(self, settings: int) -> Iterator[Writer]:
        """Yield what commits rows in the background; leaving the block waits until all of them are on disk."""
        writer = Writer(self.path, settings)
        try:
            yield writer
        finally:
            writer.close()


class Writer:
    """Commits rows in a thread of its own: one at a time where they come slowly, in batches where they come fast.

    Engines hand over a batch at a time and then compute for seconds: what came must be on disk meanwhile.
    """

    def __init__(self, path: Path, settings: int) -> None:
        self._path = path
        self._settings = settings
        self._waiting: Queue[StoredReasoning | None] = Queue(_MOST_WAITING)
        self._error: Exception | None = None
        self._thread = Thread(target=self._work, name="whylabel-store", daemon=True)
        self._thread.start()

    def put(self, row: StoredReasoning) -> None:
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
            connection = _connect(self._path)
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
                    _put(connection, [row for row in batch if row is not None], self._settings)
                except Exception as error:
                    self._error = error
            for _ in batch:
                self._waiting.task_done()
        if self._error is None:
            connection.close()


@contextmanager
def open_store(path: Path) -> Iterator[ReasoningStore]:
    """Open or make the store.

    Raises `RunFolderError` if the file is no store, is of another version or cannot be written.
    """
    try:
        # SQLite refuses a second process, rather than let it wait, while a new file is switched to a log.
        with one_at_a_time(path):
            connection = _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error
    try:
        _prepare(connection, path)
        yield ReasoningStore(path, connection)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    finally:
        connection.close()


def row_hash(example: Example) -> str:
    """Return what stands for an example in the store: equal texts with equal labels are one row."""
    return hashlib.sha256(json.dumps([example.text, example.label]).encode("ascii")).hexdigest()[:32]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # Rows lie by their hash, so nearly every one is on a page of its own. Pages are moved from the log into the file
    # 32 MB at a time rather than 4, which is half the work.
    connection.execute("PRAGMA wal_autocheckpoint = 8000")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # Another process may be making the same store: tables and version appear at once, and only where there are none.
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    if empty:
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        raise RunFolderError(
            f"The row store is of version {version}, this whylabel reads version {_VERSION}.",
            where=str(path),
            fix="move the file away and run again, or use another run folder: --output DIR",
        )


def _put(connection: sqlite3.Connection, rows: Iterable[StoredReasoning], settings: int) -> None:
    rows = list(rows)
    again = [(row.row, settings, row.condition, row.candidate) for row in rows if row.attempts > 1]
    with connection:
        connection.executemany(_PUT, ((*_VALUES(row), settings) for row in rows))
        # A verdict on what stood there before says nothing of what stands there now.
        connection.executemany(
            "DELETE FROM lifts WHERE row = ? AND settings = ? AND condition = ? AND candidate = ?", again
        )


def _stored(values: Sequence[Any]) -> StoredReasoning:
    row = list(values)
    row[_FINISHED] = bool(row[_FINISHED])
    return StoredReasoning(*row)


def _marks(rows: Sequence[str]) -> str:
    return ", ".join("?" * len(rows))


def _unusable(path: Path, error: Exception) -> RunFolderError:
    return RunFolderError(
        f"The row store cannot be used: {error}.",
        where=str(path),
        fix="free disk space or permissions; if the file is damaged, move it away and run again",
    )
