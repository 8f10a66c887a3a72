"""The durable row store of reasonings (SQLite): what was written for every text, and under which settings.

A reasoning is found by its row (a hash of text and label), the settings that it was written under, its condition
and its candidate number, so a changed recipe runs exactly the rows that it changes. What was written under one token
limit stays beside what was written under another. Rows are committed by a thread of their own, each as soon as the
disk takes it: killed at any instant, nothing committed is lost.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from whylabel.errors import RunFolderError
from whylabel.reasonings.schema import open_tables
from whylabel.reasonings.writer import Writer
from whylabel.text.hashes import RowsHash, reasoning_hash
from whylabel.types import Condition, Lift, Origin

State = Literal["done", "failed"]
Verdict = Literal["accepted", "edited", "rejected", "cleared"]
Place = tuple[str, Origin, int]
"""Where a reasoning stands: row, condition, candidate."""


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

    def holds_under(self, token_limit: int) -> bool:
        """Return whether it needs no work under a token limit.

        One that ended by itself holds under its own limit and those that it fits in, one that was cut under its own
        alone. What failed stays failed under every limit.
        """
        fits = self.finished and self.tokens <= token_limit
        return self.state == "failed" or self.token_limit == token_limit or fits


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about a row's reasoning; it outweighs filters and verifier. `decided_at` is in UTC.

    `reasoning` is the one that the person saw, or wrote (`edited`). `reasoning_hash` is that of the reasoning that
    an `accepted` or `rejected` is about; None where it is about a text that a person wrote, or was made before
    hashes were kept. `cleared` undoes what was decided before.
    """

    row: str
    verdict: Verdict
    reasoning: str
    decided_by: str
    decided_at: str
    note: str = ""
    reasoning_hash: str | None = None

    def applies_to(self, reasonings: Iterable[str]) -> bool:
        """Return whether it decides on a row for which these reasonings are written now."""
        if self.verdict == "edited" or self.reasoning_hash is None:
            return True
        return any(reasoning_hash(reasoning) == self.reasoning_hash for reasoning in reasonings)


_COLUMNS = tuple(field.name for field in fields(StoredReasoning))
_VALUES = attrgetter(*_COLUMNS)
_FINISHED = _COLUMNS.index("finished")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM reasonings"
_KEY = ("row", "settings", "condition", "candidate", "token_limit")
_OTHERS = [name for name in _COLUMNS if name not in _KEY]
# How much a row is worth: 0 a failure, 1 a reasoning that was cut, 2 a finished one.
_WORTH = "({0}.state = 'done') * (1 + {0}.finished)"
_PUT = f"""
INSERT INTO reasonings ({", ".join(_COLUMNS)}, settings) VALUES ({"?, " * len(_COLUMNS)}?)
ON CONFLICT DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _OTHERS)}
WHERE {_WORTH.format("excluded")} >= {_WORTH.format("reasonings")}
"""
_COUNT_ATTEMPTS = (
    f"UPDATE reasonings SET attempts = max(attempts, ?) WHERE {' AND '.join(f'{name} = ?' for name in _KEY)}"
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
        """Commit rows in one transaction.

        A row replaces what was written at its place under the same token limit, unless that is worth more: a
        failure replaces nothing that was written, what was cut nothing that is finished. The attempt counts.
        """
        _put(self._connection, list(rows), settings)

    def find(self, rows: Sequence[str], settings: int, token_limit: int) -> dict[Place, StoredReasoning]:
        """Return what holds under a token limit of all that was written for some rows under the settings.

        `rows` are a few thousand at the most. What was written under this very limit comes first, then what was
        written under the highest; a failure counts where nothing else does.
        """
        found = self._connection.execute(
            f"{_SELECT} WHERE settings = ? AND row IN ({_marks(rows)}) "
            "ORDER BY state = 'done', token_limit = ?, token_limit",
            (settings, *rows, token_limit),
        )
        stored = (_stored(values) for values in found)
        return {row.place: row for row in stored if row.holds_under(token_limit)}

    def attempts(self, rows: Sequence[str], settings: int) -> dict[Place, int]:
        """Return how often reasonings were asked for, by place, for some rows (a few thousand at the most)."""
        found = self._connection.execute(
            f"SELECT row, condition, candidate, max(attempts) FROM reasonings "
            f"WHERE settings = ? AND row IN ({_marks(rows)}) GROUP BY row, condition, candidate",
            (settings, *rows),
        )
        return {(row, condition, candidate): attempts for row, condition, candidate, attempts in found}

    def put_lifts(self, lifts: Iterable[tuple[StoredReasoning, Lift]], settings: int, verifier: str) -> None:
        """Commit a verifier's verdicts, each on exactly this reasoning, in one transaction."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO lifts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((*_key(row, settings), verifier, *astuple(lift)) for row, lift in lifts),
            )

    def find_lifts(
        self, stored: Mapping[Place, StoredReasoning], settings: int, verifier: str
    ) -> dict[Place, Lift]:
        """Return a verifier's verdicts on exactly these reasonings (those of a few thousand rows at the most)."""
        rows = {row for row, _, _ in stored}
        found = self._connection.execute(
            "SELECT row, condition, candidate, token_limit, gold, rival, rival_lift FROM lifts "
            f"WHERE settings = ? AND verifier = ? AND row IN ({_marks(rows)})",
            (settings, verifier, *rows),
        )
        places = (
            ((row, condition, candidate), limit, lift) for row, condition, candidate, limit, *lift in found
        )
        return {
            place: Lift(*lift)
            for place, limit, lift in places
            if place in stored and stored[place].token_limit == limit
        }

    def put_decisions(self, decisions: Iterable[Decision]) -> None:
        """Add people's decisions to the record, in one transaction; earlier ones stay in it."""
        columns = [field.name for field in fields(Decision)]
        with self._connection:
            self._connection.executemany(
                f"INSERT INTO decisions ({', '.join(columns)}) VALUES ({_marks(columns)})",
                map(astuple, decisions),
            )

    def find_decisions(self, rows: Sequence[str]) -> dict[str, Decision]:
        """Return the latest decision on each of some rows (a few thousand at the most), if it was not cleared."""
        found = self._decisions(f"WHERE row IN ({_marks(rows)}) ORDER BY number", rows)
        latest = {decision.row: decision for decision in found}
        return {row: decision for row, decision in latest.items() if decision.verdict != "cleared"}

    def history(self, row: str) -> list[Decision]:
        """Return all that was decided on a row, the latest last."""
        return list(self._decisions("WHERE row = ? ORDER BY number", [row]))

    def all_decisions(self) -> dict[str, list[Decision]]:
        """Return the whole record: what was decided on each row, the latest last."""
        record: dict[str, list[Decision]] = {}
        for decision in self._decisions("ORDER BY number"):
            record.setdefault(decision.row, []).append(decision)
        return record

    def count_decisions(self) -> int:
        """Return how many decisions are on record."""
        (count,) = self._connection.execute("SELECT count(*) FROM decisions").fetchone()
        return int(count)

    def decisions_digest(self) -> str | None:
        """Return a SHA-256 over what is decided now, None where nothing is."""
        digest = RowsHash()
        decided = False
        latest = "WHERE number IN (SELECT max(number) FROM decisions GROUP BY row) AND verdict != 'cleared'"
        for each in self._decisions(f"{latest} ORDER BY row"):
            decided = True
            digest.add(each.row, each.verdict, each.reasoning, each.decided_by, each.reasoning_hash)
        return digest.hexdigest() if decided else None

    def _decisions(self, which: str, values: Sequence[str] = ()) -> Iterator[Decision]:
        columns = ", ".join(field.name for field in fields(Decision))
        found = self._connection.execute(f"SELECT {columns} FROM decisions {which}", tuple(values))
        return (Decision(*row) for row in found)

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
    def writer(self, settings: int) -> Iterator[Writer[StoredReasoning]]:
        """Yield what commits rows in the background; leaving the block waits until all of them are on disk."""
        writer = Writer[StoredReasoning](self.path, lambda connection, rows: _put(connection, rows, settings))
        try:
            yield writer
        finally:
            writer.close()


@contextmanager
def open_store(path: Path) -> Iterator[ReasoningStore]:
    """Open or make the store; one that an older whylabel has made is brought up to date.

    Raises `RunFolderError` if the file is no store, is of another version or cannot be written.
    """
    try:
        connection = open_tables(path)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error
    try:
        yield ReasoningStore(path, connection)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    finally:
        connection.close()


def _put(connection: sqlite3.Connection, rows: Sequence[StoredReasoning], settings: int) -> None:
    again = [(row.attempts, *_key(row, settings)) for row in rows if row.attempts > 1]
    with connection:
        connection.executemany(_PUT, ((*_VALUES(row), settings) for row in rows))
        # Also where what was there is kept: the next try must not be drawn like this one.
        connection.executemany(_COUNT_ATTEMPTS, again)


def _key(row: StoredReasoning, settings: int) -> tuple[str, int, Condition, int, int]:
    return row.row, settings, row.condition, row.candidate, row.token_limit


def _stored(values: Sequence[Any]) -> StoredReasoning:
    row = list(values)
    row[_FINISHED] = bool(row[_FINISHED])
    return StoredReasoning(*row)


def _marks(values: Sized) -> str:
    return ", ".join("?" * len(values))


def _unusable(path: Path, error: Exception) -> RunFolderError:
    return RunFolderError(
        f"The row store cannot be used: {error}.",
        where=str(path),
        fix="free disk space or permissions; if the file is damaged, move it away and run again",
    )
