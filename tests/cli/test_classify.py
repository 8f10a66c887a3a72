"""`whylabel classify`: the columns of `predict`, by a server."""

import csv
import io
import json

import pytest

from serving_servers import start_fake
from whylabel.cli.main import main


@pytest.fixture(scope="module")
def server():
    started = start_fake()
    yield started
    started.process.kill()
    started.process.wait()


@pytest.fixture
def give(monkeypatch):
    def give(data):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def test_lines_on_stdin(server, give, capsys):
    give(b"one\n\xff\xfe\nthree\n")
    assert main(["classify", "--url", server.url, "--evidence"]) == 4
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert [row["reasoning"] for row in rows] == ["one", None, "three"]
    assert rows[0]["probabilities"] == {"joy": 0.7, "sad": 0.1, "not sure": 0.2}
    assert rows[0]["evidence"] == [{"start": 0, "end": 1, "text": "x", "effect": 0.5}]
    assert "1 of 3 rows failed" in printed.err


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_file(server, tmp_path, suffix):
    source, output = tmp_path / "in.csv", tmp_path / f"out.{suffix}"
    source.write_text("id,text,note\n" + "".join(f"r{n},text {n},n{n}\n" for n in range(40)))
    command = [
        "classify",
        "--url",
        server.url,
        "--input",
        str(source),
        "--output",
        str(output),
        "--mode",
        "vote",
    ]
    assert main(command) == 0
    if suffix == "csv":
        rows = list(csv.DictReader(output.open(encoding="utf-8-sig")))
        assert rows[3]["p(joy)"] == "0.700000"
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in output.open()]
        assert rows[3]["mode"] == "vote"
    else:
        import pandas

        rows = pandas.read_parquet(output).to_dict("records")
    assert [(row["id"], row["note"], row["reasoning"], row["label"]) for row in rows] == [
        (f"r{n}", f"n{n}", f"text {n}", "joy") for n in range(40)
    ]


def test_reasonings_can_be_watched(server, give, capsys):
    give(b"stream 3\nstream 2\n")
    assert main(["classify", "--url", server.url, "--stream"]) == 0
    printed = capsys.readouterr()
    assert "word0 word1 word2\n" in printed.err
    assert [json.loads(line)["reasoning"] for line in printed.out.splitlines()] == [
        "word0 word1 word2",
        "word0 word1",
    ]


def test_a_text_that_the_server_refuses_does_not_end_the_others(server, give, capsys):
    give(b"stream 2\n" + b"x" * 20_001 + b"\nstream 3\n")
    assert main(["classify", "--url", server.url, "--stream"]) == 4
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert "20,000" in rows[1]["error"] or "20000" in rows[1]["error"]


def test_several_labels(give, capsys):
    several = start_fake({"FAKE_SEVERAL": ", "})
    try:
        give(b"one\n")
        assert main(["classify", "--url", several.url]) == 0
        assert json.loads(capsys.readouterr().out)["labels"] == ["joy"]
    finally:
        several.process.kill()
        several.process.wait()


def test_what_is_wrong_is_said_in_a_few_lines(server, give, capsys, tmp_path):
    give(b"x\n")
    assert main(["classify", "--url", server.url, "--mode", "blend"]) == 2
    assert "cannot answer in mode 'blend'" in capsys.readouterr().err
    assert main(["classify", "--url", server.url, "--output", str(tmp_path / "x.txt")]) == 2
    assert "csv" in capsys.readouterr().err
    assert main(["classify", "--url", "nonsense"]) == 2
    assert "server" in capsys.readouterr().err
