import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from whylabel.errors import RunFolderError
from whylabel.store import StoredReasoning, open_store

PUT_FOR_EVER = """
import itertools, pathlib, sys
from whylabel.store import StoredReasoning, open_store

with open_store(pathlib.Path(sys.argv[1])) as store:
    for at in itertools.count():
        rows = [StoredReasoning(f"{at}-{row}", f"id {row}", "done", "because " * 50) for row in range(5)]
        store.put(rows)
        print(at)
"""

# Root may write everywhere, so the child gives root up before it tries.
PUT_AS_NOBODY = """
import os, pathlib, sys
from whylabel.errors import RunFolderError
from whylabel.store import StoredReasoning, open_store

if os.geteuid() == 0:
    os.setuid(65534)
try:
    with open_store(pathlib.Path(sys.argv[1])) as store:
        store.put([StoredReasoning("key", "id", "done")])
except RunFolderError as error:
    print(error)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "augment" / "store.sqlite"


def test_rows_come_back_as_they_went_in(path):
    rows = [
        StoredReasoning(
            "a", "1", "done", "because 🤷🏽‍♀️\n\x00 'quoted'; DROP TABLE reasonings", True, None, 3, 4
        ),
        StoredReasoning("b", "1", "done", "cut", finished=False, tokens=96),
        StoredReasoning("c", "2", "failed", error="the engine is gone"),
    ]
    with open_store(path) as store:
        store.put(rows)
    with open_store(path) as store:
        assert [store.get(row.key) for row in rows] == rows
        assert store.get("d") is None
        assert len(store) == 3
        assert store.done_keys() == {"a", "b"}


def test_a_new_row_replaces_one_with_its_key(path):
    with open_store(path) as store:
        store.put([StoredReasoning("a", "1", "failed", error="no")])
        store.put([StoredReasoning("a", "1", "done", "yes")])
        assert len(store) == 1
        assert store.get("a") == StoredReasoning("a", "1", "done", "yes")


def test_a_batch_is_committed_as_a_whole_or_not_at_all(path):
    with open_store(path) as store:
        store.put([])
        with pytest.raises(sqlite3.IntegrityError):
            store.put([StoredReasoning("a", "1", "done"), StoredReasoning("b", "1", "odd")])
        assert len(store) == 0


def test_a_kill_in_the_middle_of_many_puts_loses_nothing_committed(path, run_and_kill):
    committed = run_and_kill(PUT_FOR_EVER, path, lines=25)
    assert len(committed) >= 25
    with open_store(path) as store:
        for at in committed:
            assert all(store.get(f"{at}-{row}") is not None for row in range(5))
        # At most the batch that was under way is there besides, and whole.
        assert len(store) in (5 * len(committed), 5 * (len(committed) + 1))
        store.put([StoredReasoning("fresh", "1", "done")])
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_an_error_of_the_caller_is_not_blamed_on_the_store(path):
    with pytest.raises(ConnectionError), open_store(path) as store:
        store.put([StoredReasoning("a", "1", "done")])
        raise ConnectionError("the endpoint is gone")
    with open_store(path) as store:
        assert len(store) == 1


@pytest.mark.parametrize(
    "content", [b"id,reasoning\n1,because\n" * 50, b"SQLite format 3\x00" + b"\x07" * 5000]
)
def test_a_file_that_is_no_store(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(RunFolderError) as caught, open_store(path):
        pass
    assert caught.value.where == str(path) and "move it away" in caught.value.fix
    assert path.read_bytes() == content


def test_a_damaged_store(path):
    with open_store(path) as store:
        store.put([StoredReasoning(str(at), "1", "done", "because " * 100) for at in range(200)])
    content = bytearray(path.read_bytes())
    content[4096:-4096] = b"\x99" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(RunFolderError), open_store(path) as store:
        store.done_keys()
        store.get("7")


def test_a_folder_in_the_place_of_the_store(path):
    path.mkdir(parents=True)
    with pytest.raises(RunFolderError), open_store(path):
        pass


def test_a_file_in_the_place_of_its_folder(path):
    path.parent.write_text("not a folder")
    with pytest.raises(RunFolderError), open_store(path):
        pass


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_cannot_be_written(exists):
    # Not under tmp_path, which other users cannot even enter.
    folder = Path(tempfile.mkdtemp(prefix="whylabel-test-"))
    try:
        if exists:
            with open_store(folder / "store.sqlite") as store:
                store.put([StoredReasoning("a", "1", "done")])
        folder.chmod(0o555)
        outcome = subprocess.run(
            [sys.executable, "-c", PUT_AS_NOBODY, folder / "store.sqlite"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "The row store cannot be used" in outcome.stdout
        assert "permissions" in outcome.stdout and str(folder) in outcome.stdout
    finally:
        os.chmod(folder, 0o755)  # noqa: PTH101
        shutil.rmtree(folder)
