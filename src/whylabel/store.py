"""The durable row store of reasonings: SQLite, one committed transaction per batch of finished rows.

A row's key is a hash of all that changes its reasoning (text, label, prompt format, model, sampling), so
a changed recipe re-runs exactly the rows that it changes. Killed at any instant, nothing committed is lost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from whylabel.errors import RunFolderError

State = Literal["done", "failed"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS reasonings (
    key TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    reasoning TEXT NOT NULL,
    finished INTEGER NOT NULL,
    error TEXT,
    prompt_tokens INTEGER NOT NULL,
    tokens INTEGER NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True)
class StoredReasoning:
    """What the store knows of one row. `finished` is False where the token limit ended it."""

    key: str
    id: str
    state: State
    reasoning: str = ""
    finished: bool = True
    error: str | None = None
    prompt_tokens: int = 0
    tokens: int = 0


class ReasoningStore:
    """An open store; use `open_store`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, rows: Iterable[StoredReasoning]) -> None:
        """Commit rows in one transaction; a row whose key is there is replaced."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO reasonings VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        row.key,
                        row.id,
                        row.state,
                        row.reasoning,
                        int(row.finished),
                        row.error,
                        row.prompt_tokens,
                        row.tokens,
                    )
                    for row in rows
                ),
            )

    def done_keys(self) -> set[str]:
        """Return the keys of all rows that need no more work."""
        return {key for (key,) in self._connection.execute("SELECT key FROM reasonings WHERE state = 'done'")}

    def get(self, key: str) -> StoredReasoning | None:
        """Return a row, or None."""
        found = self._connection.execute("SELECT * FROM reasonings WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        key, row_id, state, reasoning, finished, error, prompt_tokens, tokens = found
        return StoredReasoning(key, row_id, state, reasoning, bool(finished), error, prompt_tokens, tokens)

    def __len__(self) -> int:
        (count,) = self._connection.execute("SELECT count(*) FROM reasonings").fetchone()
        return int(count)


@contextmanager
def open_store(path: Path) -> Iterator[ReasoningStore]:
    """Open or make the store. Raises `RunFolderError` if the file is no store or cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(_SCHEMA)
            yield ReasoningStore(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> RunFolderError:
    return RunFolderError(
        f"The row store cannot be used: {error}.",
        where=str(path),
        fix="free disk space or permissions; if the file is damaged, move it away and run again",
    )
