import errno
import json
import random
import subprocess
import sys
import tempfile

import pytest

from whylabel.data import spool
from whylabel.data.spool import Spool
from whylabel.errors import DataError


def filled(count):
    rows = [[f"id {at}", f"text {at} 😢 \ud83d \0", at] for at in range(count)]
    kept = Spool()
    for row in rows:
        kept.append(row)
    return kept, rows


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 5000])
def test_rows_come_back_as_they_were(count):
    kept, rows = filled(count)
    assert len(kept) == count
    assert [kept[at] for at in range(count)] == rows


@pytest.mark.parametrize("in_memory", [1, 100_000, 1 << 30])
def test_rows_come_back_in_any_order_from_memory_and_from_disk(monkeypatch, in_memory):
    monkeypatch.setattr(spool, "_BYTES_IN_MEMORY", in_memory)
    kept, rows = filled(4000)
    order = random.Random(1).choices(range(4000), k=500)
    assert [kept[at] for at in order] == [rows[at] for at in order]
    kept.append(["late", "row", 1])
    assert kept[4000] == ["late", "row", 1] and kept[0] == rows[0]


def test_nothing_is_left_in_the_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(spool, "_BYTES_IN_MEMORY", 1)
    kept, rows = filled(3000)
    # It has no name even while it is in use: a killed process leaves nothing behind.
    assert kept[0] == rows[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", ["write", "seek"])
def test_a_full_disk_says_where_and_what_to_do(monkeypatch, method):
    kept, _ = filled(3)

    def full(_argument):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept._file, method, full)
    with pytest.raises(DataError, match="No space left on device") as caught:
        kept.append(["late"])
    assert caught.value.where == tempfile.gettempdir()
    assert "TMPDIR" in caught.value.fix


def test_a_disk_that_is_full_when_the_last_rows_are_written(tmp_path):
    # The last rows wait in a buffer until the first row is read: so the error comes from the reading.
    script = """
import resource
from whylabel.data import spool
spool._BYTES_IN_MEMORY = 1
kept = spool.Spool()
for at in range(10):
    kept.append([at, "x" * 100])
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    kept[0]
except spool.DataError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "The rows cannot be kept in the temporary folder" in done.stdout


def test_a_row_far_away_costs_no_more_than_a_neighbour(monkeypatch):
    kept, rows = filled(5000)
    read = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda content: read.append(len(content)) or loads(content))
    assert [kept[0], kept[4999], kept[1]] == [rows[0], rows[4999], rows[1]]
    assert max(read) < 100
