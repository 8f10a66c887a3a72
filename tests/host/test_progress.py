import io
import sys

import pytest

from whylabel.host.progress import duration, progress, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.42, "0.4 s"),
        (12.3, "12 s"),
        (60, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


def test_messages_go_to_stderr(capsys):
    say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_off_a_terminal_the_end_is_one_plain_line(capsys):
    with progress("augment", total=2000, done=500) as bar:
        for _ in range(150):
            bar.advance(10, tokens=7, note="loss 0.5")
    out, err = capsys.readouterr()
    assert out == "" and "\x1b" not in err and "\r" not in err
    (line,) = err.splitlines()
    assert line.startswith("  augment: 2,000 of 2,000 rows · ")
    assert "tok/s" in line and line.endswith("loss 0.5")


def test_off_a_terminal_a_failure_still_says_how_far_it_came(capsys):
    with pytest.raises(KeyboardInterrupt), progress("train", total=10, unit="steps") as bar:
        bar.advance(3)
        raise KeyboardInterrupt
    assert "train: 3 of 10 steps" in capsys.readouterr().err


def test_nothing_to_do_is_no_division_by_zero(capsys):
    with progress("augment", total=0):
        pass
    assert "0 of 0 rows" in capsys.readouterr().err


def test_without_tokens_no_rate_of_tokens_is_shown(capsys):
    with progress("train", total=1) as bar:
        bar.advance()
    assert "tok/s" not in capsys.readouterr().err


def test_a_terminal_gets_a_live_bar_and_stdout_stays_clean(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress("augment", total=1000, done=250) as bar:
        bar.advance(750, tokens=900, note="loss 0.5")
    shown = terminal.getvalue()
    assert "augment" in shown and "1,000 of 1,000 rows" in shown and "tok/s" in shown
    assert capsys.readouterr().out == ""


# -- lines off a terminal, and the time left ---------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told to go on."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

        def wait(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr("whylabel.host.progress.time", clock)
    return clock


def test_off_a_terminal_a_calm_line_appears_every_quarter_of_a_minute(clock, capsys):
    with progress("train", total=60, unit="steps") as bar:
        for _ in range(60):
            clock.wait(1)
            bar.advance(1, tokens=10)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" steps")[0] for line in lines] == [
        "  train: 14 of 60",
        "  train: 29 of 60",
        "  train: 44 of 60",
        "  train: 59 of 60",
        "  train: 60 of 60",
    ]
    times = [line.split(" · ")[2] for line in lines]
    assert times == ["46 s left", "31 s left", "16 s left", "1.0 s left", "1 min 00 s"]


def test_a_slow_first_step_says_nothing_of_the_time_left(clock, capsys):
    with progress("train", total=9, unit="steps") as bar:
        clock.wait(30)  # warms up
        for _ in range(9):
            bar.advance(1, tokens=100)
            clock.wait(16)
    lines = [line.split(" · ")[-1] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["30 s", "46 s", "1 min 02 s", "1 min 20 s left", "1 min 04 s left", "48 s left", "32 s left",
                     "16 s left", "2 min 38 s"]  # fmt: skip


def test_the_rows_of_a_first_batch_do_not_count_for_the_time_left(clock, capsys):
    with progress("augment", total=400) as bar:
        for _ in range(10):
            clock.wait(20)
            for _ in range(40):
                bar.advance()
    lines = [line.split(" · ")[-1] for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == "20 s" and lines[1:4] == ["2 min 40 s left", "2 min 20 s left", "2 min 00 s left"]


def test_many_quick_rows_come_to_a_time_left_as_well(clock, capsys):
    with progress("predict", total=1000) as bar:
        for _ in range(600):
            clock.wait(0.05)
            bar.advance()
        clock.wait(1)
        bar.advance()
    assert capsys.readouterr().err.splitlines()[-1].endswith(" left")
