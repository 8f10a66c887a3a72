import pytest

from whylabel.errors import UsageError
from whylabel.prediction.journal import is_journal, journal_path, lock_path, open_journal
from whylabel.types import Prediction

SETTINGS = {"model": "abc", "mode": "fast"}
FOUND = Prediction("r", 'a "label"\n\ud800', (0.1, 1 / 3), None, "vote", "reasoning_cut", 0.25, 12)
FAILED = Prediction("r", "", (), status="failed", error="the text is blank")


def keep(path, numbers, settings=SETTINGS, prediction=FOUND):
    with open_journal(path, 5, settings) as journal:
        for number in numbers:
            journal.add(number, prediction)


def kept(path, settings=SETTINGS):
    with open_journal(path, 5, settings) as journal:
        return [number for number in range(5) if number in journal], journal.finished, journal.changed


def test_what_was_added_is_there_for_the_next_process(tmp_path):
    path = tmp_path / "new" / "out.csv.partial"
    keep(path, [3, 0])
    with open_journal(path, 5, SETTINGS) as journal:
        assert journal[0] == journal[3] == FOUND
        journal.add(4, FAILED)
        assert journal[4] == FAILED and journal[3] == FOUND and journal.finished == 2
    assert kept(path) == ([0, 3], 2, ())


def test_a_failed_row_is_tried_again(tmp_path):
    path = tmp_path / "out.csv.partial"
    keep(path, [1])
    keep(path, [2], prediction=FAILED)
    assert kept(path) == ([1], 1, ())
    keep(path, [2])
    assert kept(path) == ([1, 2], 2, ())


def test_every_torn_end_is_cut_off_and_what_is_before_it_stays(tmp_path):
    path = tmp_path / "out.csv.partial"
    keep(path, [0])
    first = path.stat().st_size
    keep(path, [1])
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        expected = ([0], 1, ()) if length >= first else ([], 0, ())
        assert kept(path) == expected
        keep(path, [2, 3])
        assert kept(path)[0] == [*expected[0], 2, 3]


@pytest.mark.parametrize("line", [b"\0" * 40, b"[]\n", b'{"row": 9, "prediction": {}}\n', b"\xff\n"])
def test_a_line_that_is_damaged_ends_what_is_kept(tmp_path, line):
    path = tmp_path / "out.csv.partial"
    keep(path, [0])
    whole = path.read_bytes()
    keep(path, [1])
    path.write_bytes(whole + line + path.read_bytes()[len(whole) :])
    assert kept(path) == ([0], 1, ())


def test_other_settings_begin_anew_and_are_named(tmp_path):
    path = tmp_path / "out.csv.partial"
    keep(path, [0, 1])
    assert kept(path, {"model": "abc", "mode": "vote", "more": 1}) == ([], 0, ("mode", "more"))
    assert not path.exists()
    assert kept(path) == ([], 0, ())


def test_nothing_is_left_where_nothing_is_kept(tmp_path):
    path = tmp_path / "out.csv.partial"
    keep(path, [0], prediction=FAILED)
    assert list(tmp_path.iterdir()) == []


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "out.csv.partial"
    with open_journal(path, 5, SETTINGS) as journal:
        journal.add(0, FOUND)
        with pytest.raises(UsageError, match="Another process is writing"):
            keep(path, [1])
    assert kept(path) == ([0], 1, ())


def test_a_journal_is_known_by_its_beginning_however_little_of_it_was_written(tmp_path):
    path = journal_path(tmp_path / "out.csv")
    assert (path, lock_path(path).name) == (tmp_path / "out.csv.partial", ".out.csv.partial.lock")
    assert not is_journal(path)
    keep(path, [0])
    whole = path.read_bytes()
    for length in (len(whole), 20, 1, 0):
        path.write_bytes(whole[:length])
        assert is_journal(path)
    for content in (b"half of a download", whole[:20] + b"x" * 40, b'{"settings": {}}\n'):
        path.write_bytes(content)
        assert not is_journal(path)


def test_the_same_settings_in_another_order_are_the_same_and_those_that_are_missing_are_named(tmp_path):
    path = tmp_path / "out.csv.partial"
    keep(path, [0])
    assert kept(path, dict(reversed(SETTINGS.items()))) == ([0], 1, ())
    assert kept(path, {"model": "abc"}) == ([], 0, ("mode",))


@pytest.mark.parametrize("settings", [b"[1]", b"null", b'"abc"'])
def test_a_first_line_without_settings_begins_anew_and_names_none(tmp_path, settings):
    path = tmp_path / "out.csv.partial"
    keep(path, [0])
    rest = path.read_bytes().partition(b"\n")[2]
    path.write_bytes(b'{"whylabel": "predictions in progress", "settings": ' + settings + b"}\n" + rest)
    assert kept(path) == ([], 0, ())


@pytest.mark.parametrize("row", [b"-1", b"true", b"1.0", b'"1"'])
def test_a_row_that_is_no_number_ends_what_is_kept(tmp_path, row):
    path = tmp_path / "out.csv.partial"
    keep(path, [0, 1])
    path.write_bytes(path.read_bytes().replace(b'{"row": 1,', b'{"row": ' + row + b","))
    assert kept(path) == ([0], 1, ())
