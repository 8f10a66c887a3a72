"""A store that an older whylabel has made: brought up to date as a whole or not at all, with nothing lost."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from whylabel.errors import RunFolderError
from whylabel.reasonings import schema
from whylabel.reasonings.store import open_store
from whylabel.types import Lift

# Written by version 2 of the store itself: three reasonings (one cut), a failure, verdicts and decisions.
VERSION_2 = (Path(__file__).parent / "store_version_2.sql").read_text(encoding="utf-8")
FIRST, SECOND = "ad8c2c10eb27fdada8077463ea091687", "42c6bab604aa22dbed92e466cf59c9ac"
CUT, FAILED = "275b4cf5ba5b70d4a289759c133ba7a9", "9dc10ddce5edd7c7a769aa4239dd07c8"
ROWS = [FIRST, SECOND, CUT, FAILED]

# Everything is moved, nothing is committed, and the transaction does not end.
MIGRATE_FOR_EVER = """
import pathlib, sys, threading
from whylabel.reasonings import schema
from whylabel.reasonings.store import open_store

schema._FROM_VERSION_2 += (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;"
)
threading.Timer(1, print, ["in the middle"]).start()
with open_store(pathlib.Path(sys.argv[1])):
    pass
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_2)
    return path


def everything(path):
    """Return all rows of all tables as an old program would read them, and the version."""
    with closing(sqlite3.connect(path)) as connection:
        tables = ("settings", "reasonings", "lifts", "decisions")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, {name: sorted(connection.execute(f"SELECT * FROM {name}")) for name in tables}


def test_a_store_of_version_2_is_brought_up_to_date_with_nothing_lost(path, capsys):
    with open_store(path) as store:
        number = store.settings_number({"temperature": 0.0})
        assert number == 1 and len(store) == 4
        found = store.find(ROWS, number, 50)
        assert found[FIRST, "label", 0].reasoning == "a reason of five words"
        assert found[SECOND, "label", 0].reasoning == 'it\'s "quoted"; -- and\nlong'
        assert not found[CUT, "label", 0].finished and found[CUT, "label", 0].token_limit == 50
        assert found[FAILED, "label", 0].error == "scripted failure"
        assert {row.attempts for row in found.values()} == {1}
        # The verdicts are those on these very reasonings.
        assert store.find_lifts(found, number, "judge") == dict.fromkeys(
            ((row, "label", 0) for row in (FIRST, SECOND, CUT)), Lift(1.0, "fear", 0.25)
        )
        decisions = store.find_decisions(ROWS)
        assert (decisions[FIRST].verdict, decisions[FIRST].decided_by) == ("accepted", "Ben")
        assert (decisions[SECOND].verdict, decisions[SECOND].reasoning) == ("edited", "better words, by hand")
        assert decisions[FIRST].reasoning_hash is None
        record = store.all_decisions()
        assert [each.verdict for each in record[FIRST]] == ["rejected", "accepted"]
        assert record[FIRST][0].note == "off topic"
    assert "brought from version 2 to version 3" in capsys.readouterr().err
    with open_store(path) as store:
        assert len(store) == 4
    assert capsys.readouterr().err == ""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
        assert names == {"settings", "reasonings", "lifts", "decisions"}


def test_a_migrated_store_has_the_tables_of_a_new_one(path, tmp_path):
    def tables(path):
        with open_store(path), closing(sqlite3.connect(path)) as connection:
            return sorted(
                connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql != ''")
            )

    assert tables(path) == tables(tmp_path / "new.sqlite")


def test_a_migration_that_fails_leaves_the_old_store(path, monkeypatch):
    before = everything(path)
    monkeypatch.setattr(schema, "_FROM_VERSION_2", schema._FROM_VERSION_2 + "INSERT INTO nowhere VALUES (1);")
    with pytest.raises(RunFolderError, match="no such table"), open_store(path):
        pass
    assert everything(path) == before
    monkeypatch.undo()
    with open_store(path) as store:
        assert len(store) == 4


def test_a_kill_during_a_migration_loses_nothing(path, run_and_kill):
    before = everything(path)
    run_and_kill(MIGRATE_FOR_EVER, path, lines=1)
    assert everything(path) == before
    with open_store(path) as store:
        assert len(store) == 4
        assert len(store.find_lifts(store.find(ROWS, 1, 50), 1, "judge")) == 3
        assert len(store.all_decisions()) == 2


def test_a_store_of_a_newer_version_asks_for_a_newer_whylabel(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 4")
    with pytest.raises(RunFolderError, match="of version 4") as caught, open_store(path):
        pass
    assert "newer whylabel" in caught.value.fix
