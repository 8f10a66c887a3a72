"""A stopped or killed predict goes on where it was."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from whylabel.cli.main import main
from whylabel.data.table import PIECE_ROWS
from whylabel.prediction.journal import Journal
from whylabel.prediction.trained import TrainedClassifier

ROWS = 12
_PATIENCE_SECONDS = 120
SLOWLY = """
import sys, time
from whylabel.cli.main import main
from whylabel.prediction.journal import Journal
add = Journal.add
def slowly(self, number, prediction):
    add(self, number, prediction)
    print(number)
    time.sleep(0.1)
Journal.add = slowly
sys.exit(main(sys.argv[1:]))
"""

PRINTED_SLOWLY = """
import sys, time
from whylabel.cli.main import main
from whylabel.data import writers
json_line = writers.json_line
def slowly(row, *rest):
    time.sleep(0.1)
    return json_line(row, *rest)
writers.json_line = slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "in.jsonl"
    rows = [
        {"id": f"r{at}", "note": at, "text": "" if at == 1 else f"a text of number {at}"}
        for at in range(ROWS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def asked(monkeypatch):
    """Return the ids of the rows that a model is asked about, as they come."""
    asked, predict = [], TrainedClassifier.predict

    def noted(self, rows, mode, **options):
        asked.extend(row_id for row_id, _ in rows)
        return predict(self, rows, mode, **options)

    monkeypatch.setattr(TrainedClassifier, "predict", noted)
    return asked


def arguments(model, texts, output, *more):
    return ["predict", "--model", str(model), "--input", str(texts), "--output", str(output), *map(str, more)]


def names_in(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_killed_predict_goes_on_and_ends_as_if_nothing_had_happened(
    model, texts, tmp_path, run_and_kill, asked, capsys, suffix
):
    output, whole = tmp_path / f"out.{suffix}", tmp_path / f"whole.{suffix}"
    printed = run_and_kill(SLOWLY, *arguments(model, texts, output), lines=5)
    # The next process takes the lock away, too.
    left = {f"out.{suffix}.partial", f".out.{suffix}.partial.lock"}
    assert not output.exists() and names_in(tmp_path) == {"in.jsonl", *left}
    assert 5 <= len(printed) < ROWS
    assert main(arguments(model, texts, output)) == 4
    kept = len(printed) - 1  # row 1 is blank: it failed
    assert f"{kept} of {ROWS} rows were finished earlier" in capsys.readouterr().err
    assert len(asked) == ROWS - kept and asked[0] == "r1" and "r0" not in asked
    assert names_in(tmp_path) == {"in.jsonl", f"out.{suffix}"}
    assert main(arguments(model, texts, whole)) == 4
    if suffix == "csv":
        assert output.read_bytes() == whole.read_bytes()
    else:
        # How many rows are computed together decides on some processors the last bits of a probability.
        for row, expected in zip(rows_of(output), rows_of(whole), strict=True):
            assert row.pop("probabilities") == pytest.approx(expected.pop("probabilities"), abs=1e-6)
            assert row == expected


def rows_of(path):
    from pyarrow import parquet

    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text().splitlines()]


def interrupt(model, texts, output, monkeypatch, rows, *more):
    with monkeypatch.context() as patched:
        add = Journal.add
        done = []

        def interrupted(self, number, prediction):
            add(self, number, prediction)
            done.append(number)
            if len(done) == rows:
                raise KeyboardInterrupt

        patched.setattr(Journal, "add", interrupted)
        assert main(arguments(model, texts, output, *more)) == 130


def test_an_interruption_says_what_is_kept(model, texts, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out.csv"
    interrupt(model, texts, output, monkeypatch, 5)
    said = capsys.readouterr().err
    kept = f"4 of 12 rows are kept in {output}.partial: the same command continues with the rest."
    assert said.endswith(f"Interrupted. {kept}\n")
    assert main(arguments(model, texts, output)) == 4
    said = capsys.readouterr().err.splitlines()
    assert f"4 of 12 rows were finished earlier, and are kept in {output}.partial" in said
    # Rows that were finished earlier are counted, not predicted.
    assert any(line.startswith("  predict: 12 of 12 rows · ") for line in said)
    assert said[-2:] == [f"12 rows in {output}", "1 of 12 rows failed; see their status and error."]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--mode", "vote"], "mode"),
        (["--abstain-below", "0.5"], "abstain-below"),
        (["--text-column", "note"], "text column"),
        (["--id-column", "note"], "id column"),
        (["--columns", "none"], "columns"),
        (["--device", "cpu"], "device"),
    ],
)
def test_another_command_begins_anew_and_says_so(
    model, texts, tmp_path, monkeypatch, asked, capsys, more, named
):
    output = tmp_path / "out.csv"
    interrupt(model, texts, output, monkeypatch, 5)
    asked.clear()
    main(arguments(model, texts, output, *more))
    assert len(asked) == ROWS
    assert (
        f"out.csv.partial was made with other settings ({named}): it starts again" in capsys.readouterr().err
    )
    with output.open(newline="") as file:
        assert len(list(csv.reader(file))) == ROWS + 1


def test_another_input_begins_anew_and_says_so(model, texts, tmp_path, monkeypatch, asked, capsys):
    output = tmp_path / "out.jsonl"
    interrupt(model, texts, output, monkeypatch, 5)
    texts.write_text(texts.read_text().replace("number 11", "number eleven"))
    asked.clear()
    assert main(arguments(model, texts, output)) == 4
    assert len(asked) == ROWS
    assert "was made with other settings (input): it starts again" in capsys.readouterr().err
    assert output.read_bytes().count(b"\n") == ROWS


def test_another_version_of_whylabel_begins_anew_and_says_so(
    model, texts, tmp_path, monkeypatch, asked, capsys
):
    output = tmp_path / "out.jsonl"
    interrupt(model, texts, output, monkeypatch, 5)
    monkeypatch.setattr("whylabel.version.__version__", "99.0")
    asked.clear()
    assert main(arguments(model, texts, output)) == 4
    assert len(asked) == ROWS
    assert "other settings (version of whylabel): it starts again" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["whylabel.json", "generation_config.json"])
def test_another_model_begins_anew_and_says_so(model, texts, tmp_path, monkeypatch, asked, capsys, file):
    model, output = shutil.copytree(model, tmp_path / "model"), tmp_path / "out.jsonl"
    interrupt(model, texts, output, monkeypatch, 5)
    values = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps({**values, "max_reasoning_tokens": 3, "temperature": 0.5}))
    asked.clear()
    assert main(arguments(model, texts, output)) == 4
    assert len(asked) == ROWS
    assert "was made with other settings (model): it starts again" in capsys.readouterr().err


def test_an_input_that_changes_meanwhile_leaves_no_output(model, texts, tmp_path, monkeypatch, capsys):
    output, add = tmp_path / "out.csv", Journal.add

    def changes(self, number, prediction):
        add(self, number, prediction)
        if number == 3:
            texts.write_text(texts.read_text().replace("number 11", "number eleven"))

    monkeypatch.setattr(Journal, "add", changes)
    assert main(arguments(model, texts, output)) == 2
    assert "has changed while it was read" in capsys.readouterr().err
    assert not output.exists()


def test_what_is_whole_is_written_without_the_model(model, texts, tmp_path, monkeypatch, capsys):
    texts.write_text(texts.read_text().replace('"text": ""', '"text": "not blank"'))
    output = tmp_path / "out.csv"
    interrupt(model, texts, output, monkeypatch, ROWS)
    # What a process that was killed while it wrote has left.
    (tmp_path / ".out.partial-123.csv").write_text("torn")
    monkeypatch.setattr(TrainedClassifier, "from_folder", lambda *_, **__: pytest.fail("it was loaded"))
    assert main(arguments(model, texts, output)) == 0
    assert names_in(tmp_path) == {"in.jsonl", "out.csv"}


def test_many_rows_go_on_in_the_piece_where_they_were(model, tmp_path, monkeypatch, asked):
    rows = PIECE_ROWS + 30
    texts = tmp_path / "in.txt"
    texts.write_text("".join(f"text {at}\n" for at in range(rows)))

    def quickly(self, rows, mode, **options):
        asked.extend(row_id for row_id, _ in rows)
        from whylabel.types import Prediction

        return (Prediction(row_id, "even", (0.25, 0.75)) for row_id, _ in rows)

    monkeypatch.setattr(TrainedClassifier, "predict", quickly)
    output = tmp_path / "out.jsonl"
    interrupt(model, texts, output, monkeypatch, PIECE_ROWS + 10)
    asked.clear()
    assert main(arguments(model, texts, output)) == 0
    assert len(asked) == 20
    found = [json.loads(line) for line in output.read_bytes().splitlines()]
    assert [row["text"] for row in found] == [f"text {at}" for at in range(rows)]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_what_was_printed_stays_and_nothing_is_said_to_go_on(model, texts, sign):
    command = [
        sys.executable,
        "-u",
        "-c",
        PRINTED_SLOWLY,
        "predict",
        "--model",
        str(model),
        "--input",
        str(texts),
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout.readline()
        time.sleep(0.05)
        os.kill(process.pid, sign)
        _, errors = process.communicate(timeout=_PATIENCE_SECONDS)
    assert process.returncode == 130, errors
    assert "rows were printed and are valid, but nothing is kept" in errors
    assert "continues where" not in errors and "Traceback" not in errors
