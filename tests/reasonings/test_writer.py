"""Rows that are committed in the background."""

import time

import pytest

from whylabel.reasonings.writer import Writer


@pytest.fixture
def written(tmp_path):
    """A slow writer, and what it has committed so far."""
    found = []

    def commit(connection, rows):
        time.sleep(0.05)
        found.extend(rows)

    return Writer(tmp_path / "store.sqlite", commit), found


def test_closing_waits_until_everything_is_committed(written):
    writer, found = written
    for row in range(5):
        writer.put(row)
    writer.close()
    assert found == [0, 1, 2, 3, 4]
    # Once more does nothing.
    writer.close()


def test_flushing_waits_until_everything_is_committed(written):
    writer, found = written
    for row in range(3):
        writer.put(row)
    writer.flush()
    assert found == [0, 1, 2]
    writer.put(3)
    writer.close()
    assert found == [0, 1, 2, 3]


def test_a_process_that_ends_without_closing_does_not_wait_for_the_thread(written):
    writer, _ = written
    assert writer._thread.daemon
    writer.close()
