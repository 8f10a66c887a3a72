"""The tables of the row store: made, opened, and brought up to date where an older whylabel has made them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from whylabel.errors import RunFolderError
from whylabel.host.locks import one_at_a_time
from whylabel.host.progress import say

VERSION = 3
_TABLES = """
CREATE TABLE IF NOT EXISTS settings (number INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE reasonings (
    row TEXT NOT NULL,
    settings INTEGER NOT NULL REFERENCES settings (number),
    condition TEXT NOT NULL CHECK (condition IN ('label', 'free')),
    candidate INTEGER NOT NULL,
    token_limit INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    reasoning TEXT NOT NULL,
    finished INTEGER NOT NULL,
    error TEXT,
    prompt_tokens INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (row, settings, condition, candidate, token_limit)
) STRICT, WITHOUT ROWID;
CREATE TABLE lifts (
    row TEXT NOT NULL,
    settings INTEGER NOT NULL,
    condition TEXT NOT NULL,
    candidate INTEGER NOT NULL,
    token_limit INTEGER NOT NULL,
    verifier TEXT NOT NULL,
    gold REAL NOT NULL,
    rival TEXT NOT NULL,
    rival_lift REAL NOT NULL,
    PRIMARY KEY (row, settings, condition, candidate, token_limit, verifier)
) STRICT, WITHOUT ROWID;
-- A verdict on what stood there before says nothing of what stands there now.
CREATE TRIGGER another_reasoning AFTER UPDATE OF reasoning ON reasonings BEGIN
    DELETE FROM lifts WHERE row = new.row AND settings = new.settings AND condition = new.condition
        AND candidate = new.candidate AND token_limit = new.token_limit;
END;
CREATE TABLE decisions (
    number INTEGER PRIMARY KEY,
    row TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('accepted', 'edited', 'rejected', 'cleared')),
    reasoning TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    note TEXT NOT NULL,
    reasoning_hash TEXT
) STRICT;
CREATE INDEX decisions_of_a_row ON decisions (row);
"""
# SQLite cannot change a primary key or a check: the rows move into new tables. What was judged under version 2 is
# the only reasoning at its place, so its token limit is that of the verdict.
_FROM_VERSION_2 = f"""
DROP INDEX decisions_of_a_row;
ALTER TABLE reasonings RENAME TO old_reasonings;
ALTER TABLE lifts RENAME TO old_lifts;
ALTER TABLE decisions RENAME TO old_decisions;
{_TABLES}
INSERT INTO reasonings
    SELECT row, settings, condition, candidate, token_limit, id, state, reasoning, finished, error, prompt_tokens,
        tokens, attempts
    FROM old_reasonings;
INSERT INTO lifts
    SELECT row, settings, condition, candidate, token_limit, verifier, gold, rival, rival_lift
    FROM old_lifts JOIN old_reasonings USING (row, settings, condition, candidate);
INSERT INTO decisions
    SELECT number, row, verdict, reasoning, decided_by, decided_at, note, NULL FROM old_decisions;
DROP TABLE old_reasonings;
DROP TABLE old_lifts;
DROP TABLE old_decisions;
"""


def open_tables(path: Path) -> sqlite3.Connection:
    """Return a connection to the store, which is made or brought up to date first.

    Raises `RunFolderError` if it is of a version that this whylabel does not know, else what SQLite raises.
    """
    # One process at a time: SQLite refuses a second one, rather than let it wait, while a new file is switched to a
    # log, and after some seconds while a large store is brought up to date.
    with one_at_a_time(path):
        connection = connect(path)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection to a store that is there."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # Rows lie by their hash, so nearly every one is on a page of its own. Pages are moved from the log into the file
    # 32 MB at a time rather than 4, which is half the work.
    connection.execute("PRAGMA wal_autocheckpoint = 8000")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if empty:
        _in_one_transaction(connection, _TABLES)
    elif version == 2:
        say(f"  the row store is brought from version 2 to version {VERSION}")
        _in_one_transaction(connection, _FROM_VERSION_2)
    elif version != VERSION:
        raise RunFolderError(
            f"The row store is of version {version}, this whylabel reads version {VERSION}.",
            where=str(path),
            fix="move the file away and run again, or use another run folder: --output DIR"
            if version < VERSION
            else "use a newer whylabel, or another run folder: --output DIR",
        )


def _in_one_transaction(connection: sqlite3.Connection, script: str) -> None:
    """Run a script that leaves a store of this version. Where it fails, closing the connection undoes it."""
    connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {VERSION}; COMMIT;")
