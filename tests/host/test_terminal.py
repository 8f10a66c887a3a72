import io
import json
import subprocess
import sys

import pytest

from whylabel.host.progress import progress, say
from whylabel.host.terminal import json_text, printable, printable_lines

UNSAFE = [
    "\x00",
    "\x07",
    "\x1b",
    "\x7f",
    "\x9b",
    "\r",
    "\u202a",
    "\u202e",
    "\u2066",
    "\u2069",
    "\ud800",
    "\udcff",
]


@pytest.mark.parametrize("character", UNSAFE)
def test_what_a_terminal_would_obey_is_not_shown(character, capsys):
    assert printable(f"a{character}b\nc\td") == "a\ufffdb\ufffdc\ufffdd"
    assert printable_lines(f"a{character}b\nc\td") == "a\ufffdb\nc\td"
    say(f"a{character}b\n  fix: c")
    with progress(f"p{character}", total=1) as bar:
        bar.advance(note=f"n{character}\nm")
    err = capsys.readouterr().err
    assert character not in err and err.startswith("a\ufffdb\n  fix: c\n") and len(err.splitlines()) == 3


@pytest.mark.parametrize("text", ["é", "日本語", "👩‍👩‍👧", "می‌خواهم", "a\u00a0b", "−·→"])
def test_ordinary_text_of_any_script_stays_as_it_is(text):
    assert printable(text) == printable_lines(text) == text


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", None, "latin-1", "ascii", "ANSI_X3.4-1968"])
def test_json_is_json_on_every_stream(encoding):
    value = {"→é": [*UNSAFE, "😀", '\n\t"\\'], "n": 1}
    text = json_text(value, encoding=encoding)
    assert json.loads(text) == value
    assert json.loads(text.encode(encoding or "utf-8").decode("utf-8")) == value
    assert not any(character in text for character in UNSAFE)
    assert ("é" in text) == (encoding in ("utf-8", "UTF8", None))


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}],
)
@pytest.mark.parametrize("arguments", [["--json"], []])
def test_a_stream_without_unicode_breaks_nothing(tmp_path, environment, arguments):
    path = tmp_path / "mails.csv"
    rows = [f"text {number} 😀 → é,{'été' if number % 2 else '−neg·'}" for number in range(60)]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    outcome = subprocess.run(
        [sys.executable, "-m", "whylabel", "inspect", path, *arguments],
        capture_output=True,
        env={"PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path), "PATH": "", **environment},
    )
    assert outcome.returncode == 0, outcome.stderr
    assert b"Error" not in outcome.stderr
    if arguments:
        assert set(json.loads(outcome.stdout.decode("utf-8"))["labels"]["train"]) == {"été", "−neg·"}


def test_a_bar_on_a_terminal_shows_no_control_characters(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "dumb")
    with progress("p\x1b]0;x\x07[red]", total=1) as bar:
        bar.advance(note="n\x1b]0;y\x07[bold]")
    shown = terminal.getvalue()
    assert "\x1b]0;" not in shown and "[red]" in shown
