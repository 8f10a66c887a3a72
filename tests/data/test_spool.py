import errno
import random
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


def test_a_full_disk_says_where_and_what_to_do(monkeypatch):
    kept = Spool()

    def full(_content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept._file, "write", full)
    with pytest.raises(DataError, match="No space left on device") as caught:
        for at in range(1024):
            kept.append([str(at)])
    assert caught.value.where == tempfile.gettempdir()
    assert "TMPDIR" in caught.value.fix
