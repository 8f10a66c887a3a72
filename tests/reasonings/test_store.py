import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from whylabel.errors import RunFolderError
from whylabel.reasonings.store import Decision, StoredReasoning, open_store
from whylabel.types import Lift

PUT_FOR_EVER = """
import itertools, pathlib, sys
from whylabel.reasonings.store import StoredReasoning, open_store

with open_store(pathlib.Path(sys.argv[1])) as store:
    number = store.settings_number({"temperature": 0})
    for at in itertools.count():
        rows = [
            StoredReasoning(f"{at}-{row}", "label", 0, f"id {row}", "done", "because " * 50) for row in range(5)
        ]
        store.put(rows, number)
        print(at)
"""

WRITE_FOR_EVER = """
import itertools, pathlib, sys
from whylabel.reasonings.store import StoredReasoning, open_store

with open_store(pathlib.Path(sys.argv[1])) as store, store.writer(store.settings_number({})) as writer:
    for at in itertools.count():
        writer.put(StoredReasoning(str(at), "label", 0, "id", "done", "because " * 50))
        if at % 7 == 0:
            writer.flush()
            print(at)
"""

# Root may write everywhere, so the child gives root up before it tries.
PUT_AS_NOBODY = """
import os, pathlib, sys
from whylabel.errors import RunFolderError
from whylabel.reasonings.store import StoredReasoning, open_store

def done(row):
    return StoredReasoning(row, "label", 0, "id", "done")

if os.geteuid() == 0:
    os.setuid(65534)
try:
    with open_store(pathlib.Path(sys.argv[1])) as store:
        store.put([done("key")], store.settings_number({}))
except RunFolderError as error:
    print(error)
"""


SETTINGS = {"temperature": 0.7}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "augment" / "store.sqlite"


def done(row, reasoning="because", candidate=0):
    return StoredReasoning(row, "label", candidate, f"id of {row}", "done", reasoning)


def test_rows_come_back_as_they_went_in(path):
    odd = "because 🤷🏽‍♀️\n\x00 'quoted'; DROP TABLE reasonings"
    rows = [
        StoredReasoning("a", "label", 0, "1", "done", odd, True, 96, None, 3, 4),
        StoredReasoning("a", "free", 2, "1", "done", "cut", finished=False, token_limit=64, tokens=64),
        StoredReasoning("b", "label", 0, "2", "failed", error="the engine is gone", attempts=3),
    ]
    with open_store(path) as store:
        store.put(rows, store.settings_number(SETTINGS))
    with open_store(path) as store:
        number = store.settings_number(SETTINGS)
        assert store.find(["a", "b", "c"], number, 64) == {row.place: row for row in rows}
        assert store.find(["c"], number, 64) == {}
        assert sorted(store, key=lambda row: row.place) == sorted(rows, key=lambda row: row.place)
        assert len(store) == 3


def test_a_new_row_replaces_one_at_its_place(path):
    with open_store(path) as store:
        number = store.settings_number(SETTINGS)
        store.put([StoredReasoning("a", "label", 0, "1", "failed", error="no")], number)
        store.put([done("a", "yes")], number)
        assert list(store) == [done("a", "yes")]


def cut(row, limit, reasoning="because"):
    return StoredReasoning(row, "label", 0, "id", "done", reasoning, False, limit, tokens=limit)


def finished(row, limit, tokens, reasoning="because"):
    return StoredReasoning(row, "label", 0, "id", "done", reasoning, True, limit, tokens=tokens)


def failed(row, limit, attempts=1):
    return StoredReasoning(row, "label", 0, "id", "failed", token_limit=limit, error="no", attempts=attempts)


@pytest.mark.parametrize(
    ("written", "limit", "found"),
    [
        ([finished("a", 50, 30)], 50, 0),
        ([finished("a", 50, 30)], 30, 0),
        ([finished("a", 50, 30)], 80, 0),
        ([finished("a", 50, 30)], 29, None),
        # An endpoint may count tokens otherwise than its limit does.
        ([finished("a", 50, 60)], 50, 0),
        ([cut("a", 50)], 50, 0),
        ([cut("a", 50)], 49, None),
        ([cut("a", 50)], 80, None),
        ([failed("a", 50)], 80, 0),
        ([finished("a", 50, 30), cut("a", 6)], 50, 0),
        ([finished("a", 50, 30), cut("a", 6)], 6, 1),
        ([finished("a", 50, 30), cut("a", 6)], 10, None),
        ([finished("a", 50, 30), finished("a", 6, 5)], 50, 0),
        ([finished("a", 50, 30), finished("a", 6, 5)], 90, 0),
        ([finished("a", 50, 30), finished("a", 6, 5)], 20, 1),
        ([cut("a", 50), finished("a", 80, 70)], 50, 0),
        ([cut("a", 50), finished("a", 80, 70)], 80, 1),
        ([cut("a", 50), finished("a", 80, 45)], 50, 0),
        ([cut("a", 50), finished("a", 80, 45)], 60, 1),
        ([failed("a", 6), finished("a", 50, 30)], 50, 1),
        ([failed("a", 6), finished("a", 50, 5)], 6, 1),
        ([failed("a", 6), finished("a", 50, 30)], 6, 0),
        ([finished("a", 50, 30), failed("a", 80)], 80, 0),
    ],
)
def test_a_token_limit_finds_what_holds_under_it(path, written, limit, found):
    with open_store(path) as store:
        number = store.settings_number(SETTINGS)
        for order in (written, written[::-1]):
            store.put(order, number)
            expected = {} if found is None else {("a", "label", 0): written[found]}
            assert store.find(["a"], number, limit) == expected
        assert len(store) == len(written)


@pytest.mark.parametrize(
    ("first", "then", "left"),
    [
        (finished("a", 50, 30), cut("a", 50, "cut"), 0),
        (finished("a", 50, 30), failed("a", 50), 0),
        (cut("a", 50), failed("a", 50), 0),
        (cut("a", 50), cut("a", 50, "cut anew"), 1),
        (cut("a", 50), finished("a", 50, 30), 1),
        (failed("a", 50), cut("a", 50), 1),
        (failed("a", 50), replace(failed("a", 50), error="no again"), 1),
    ],
)
def test_nothing_gives_way_to_what_is_worth_less(path, first, then, left):
    then = replace(then, attempts=2)
    with open_store(path) as store:
        number = store.settings_number(SETTINGS)
        store.put([first], number)
        store.put([then], number)
        # The other try counts all the same: the next one is drawn apart from it.
        assert list(store) == [replace((first, then)[left], attempts=2)]
        assert store.attempts(["a", "b"], number) == {("a", "label", 0): 2}


def test_a_verdict_belongs_to_the_reasoning_that_it_judged(path):
    at = ("a", "label", 0)
    long, short, better = finished("a", 50, 30), cut("a", 6), finished("a", 6, 5, "better")
    with open_store(path) as store:
        number = store.settings_number(SETTINGS)
        store.put([long, short], number)
        store.put_lifts([(long, Lift(1.0, "fear", 0.5)), (short, Lift(-1.0, "fear", 0.5))], number, "judge")

        def lifts(limit):
            stored = store.find(["a"], number, limit)
            return {place: lift.gold for place, lift in store.find_lifts(stored, number, "judge").items()}

        assert (lifts(50), lifts(6)) == ({at: 1.0}, {at: -1.0})
        store.put([replace(failed("a", 6), attempts=2)], number)
        assert (lifts(50), lifts(6)) == ({at: 1.0}, {at: -1.0})
        store.put([better], number)
        assert (lifts(50), lifts(6)) == ({at: 1.0}, {})


@pytest.mark.parametrize("seed", range(30))
def test_no_sequence_of_writing_loses_anything_finished(path, seed):
    draw = random.Random(seed)
    settled = {}
    with open_store(path) as store:
        number = store.settings_number(SETTINGS)
        for attempt in range(1, 60):
            row, limit = draw.choice("ab"), draw.choice([6, 20, 50, 80])
            kind = draw.choice(
                [cut(row, limit), failed(row, limit), finished(row, limit, limit - 1, str(attempt))]
            )
            store.put([replace(kind, attempts=attempt)], number)
            if kind.state == "done" and kind.finished:
                settled[row, limit] = kind.reasoning
            for (there, under), reasoning in settled.items():
                assert store.find([there], number, under)[there, "label", 0].reasoning == reasoning


def test_settings_keep_their_number_and_their_rows(path):
    with open_store(path) as store:
        first = store.settings_number({"temperature": 0.7, "question": "é?"})
        second = store.settings_number({"temperature": 0.2, "question": "é?"})
        assert first == store.settings_number({"question": "é?", "temperature": 0.7}) != second
        store.put([done("a"), done("b")], first)
        store.put([done("a", "otherwise")], second)
        assert store.find(["a"], second, 50)[("a", "label", 0)].reasoning == "otherwise"
        assert store.find(["b"], second, 50) == {}
        assert store.written_otherwise(["a", "b", "c"], second) == {first: 2}
        third = store.settings_number({})
        assert store.written_otherwise(["a", "b"], third) == {first: 1, second: 1}
        assert store.settings()[second]["temperature"] == 0.2


def test_a_batch_is_committed_as_a_whole_or_not_at_all(path):
    with open_store(path) as store:
        number = store.settings_number(SETTINGS)
        store.put([], number)
        with pytest.raises(sqlite3.IntegrityError):
            store.put([done("a"), StoredReasoning("b", "label", 0, "1", "odd")], number)
        assert len(store) == 0


def test_a_kill_in_the_middle_of_many_puts_loses_nothing_committed(path, run_and_kill):
    committed = run_and_kill(PUT_FOR_EVER, path, lines=25)
    assert len(committed) >= 25
    with open_store(path) as store:
        written = {row.row for row in store}
        assert written >= {f"{at}-{row}" for at in committed for row in range(5)}
        # At most the batch that was under way is there besides, and whole.
        assert len(store) in (5 * len(committed), 5 * (len(committed) + 1))
        store.put([done("fresh")], store.settings_number(SETTINGS))
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_kill_loses_nothing_that_the_writer_has_flushed(path, run_and_kill):
    flushed = run_and_kill(WRITE_FOR_EVER, path, lines=25)
    with open_store(path) as store:
        assert {row.row for row in store} >= {str(at) for at in range(int(flushed[-1]) + 1)}


def test_the_writer_commits_without_being_asked_and_all_of_it_in_the_end(path):
    with open_store(path) as store:
        with store.writer(store.settings_number(SETTINGS)) as writer:
            writer.put(done("first"))
            until = time.monotonic() + 30
            while not len(store) and time.monotonic() < until:
                time.sleep(0.01)
            assert len(store) == 1
            for number in range(9000):
                writer.put(done(str(number)))
        assert len(store) == 9001


def test_what_the_disk_says_reaches_the_caller(path):
    def fill():
        with open_store(path) as store, store.writer(store.settings_number(SETTINGS)) as writer:
            store._connection.execute("DROP TABLE reasonings")
            for number in range(100_000):
                writer.put(done(str(number)))

    with pytest.raises(RunFolderError, match="no such table"):
        fill()


def test_a_row_that_cannot_be_written_is_an_error_and_nobody_waits_for_it(path):
    def fill():
        with open_store(path) as store, store.writer(store.settings_number(SETTINGS)) as writer:
            writer.put(replace(done("1"), reasoning="half an emoji: \ud83d"))
            writer.flush()

    with pytest.raises(UnicodeEncodeError):
        fill()


def test_a_store_of_another_version_is_left_alone(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE reasonings (key TEXT PRIMARY KEY)")
    connection.close()
    with pytest.raises(RunFolderError, match="of version 0") as caught, open_store(path):
        pass
    assert "move the file away" in caught.value.fix


def test_an_error_of_the_caller_is_not_blamed_on_the_store(path):
    with pytest.raises(ConnectionError), open_store(path) as store:
        store.put([done("a")], store.settings_number(SETTINGS))
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
        store.put([done(str(at), "because " * 100) for at in range(200)], store.settings_number(SETTINGS))
    content = bytearray(path.read_bytes())
    content[4096:-4096] = b"\x99" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(RunFolderError), open_store(path) as store:
        list(store)


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
                store.put([done("a")], store.settings_number(SETTINGS))
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


OPEN = """
import pathlib, sys
from whylabel.reasonings.store import open_store

print("ready", flush=True)
sys.stdin.readline()
with open_store(pathlib.Path(sys.argv[1])) as store:
    print(len(store))
"""


def test_several_processes_may_make_the_same_store(path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", OPEN, str(path)]
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(6)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, errors = process.communicate(timeout=60)
        assert out == "0\n", errors


def decided(row, verdict, reasoning="because", by="Ada", note="", **hashed):
    return Decision(row, verdict, reasoning, by, "2026-01-02T03:04:05Z", note, **hashed)


def test_the_latest_decision_counts_unless_it_was_cleared(path):
    with open_store(path) as store:
        assert store.decisions_digest() is None
        store.put_decisions([decided("a", "rejected"), decided("b", "edited", "words")])
        store.put_decisions([decided("a", "accepted", by="Ben"), decided("b", "cleared")])
        assert store.find_decisions(["a", "b", "c"]) == {"a": decided("a", "accepted", by="Ben")}
        assert [each.verdict for each in store.all_decisions()["b"]] == ["edited", "cleared"]
        assert store.count_decisions() == 4


def test_the_digest_says_what_is_decided_now(path):
    with open_store(path) as store:

        def after(*decisions):
            store.put_decisions(decisions)
            return store.decisions_digest()

        first = after(decided("a", "accepted"))
        assert after(decided("b", "rejected")) != first
        assert after(decided("b", "cleared", note="never mind")) == first
        assert after(decided("a", "rejected")) != first
        assert after(decided("a", "accepted", note="after all")) == first
        assert after(decided("a", "accepted", by="Ben")) != first
        assert after(decided("a", "accepted", reasoning_hash="1")) != first
        assert after(decided("a", "edited", "words")) != after(decided("a", "edited", "other words"))
        assert after(decided("a", "cleared")) is None
