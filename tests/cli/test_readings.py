"""`whylabel reasonings RUN --predictions`."""

from __future__ import annotations

import csv
import io
import json

import pytest

from finished_run import write_run
from report_page import Page
from whylabel.cli.main import main
from whylabel.evaluation.readings import read_readings


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", labels=("joy", "fear"))


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_predictions_are_dealt_read_and_reported(run, tmp_path, capsys):
    path, file = str(run.path), tmp_path / "read.csv"
    asked = ["reasonings", path, "--predictions", "--sample", "10", "--blind"]
    assert main([*asked, "--output", str(file)]) == 0
    assert "10 of 48 predictions that show a reasoning" in capsys.readouterr().err
    assert main(asked) == 0
    # stdout is data, byte for byte that of the file.
    assert capsys.readouterr().out == file.read_bytes().decode()
    rows = rows_of(file.read_text(encoding="utf-8"))
    assert list(rows[0]) == ["id", "text", "label", "reasoning", "verdict", "reason"] and len(rows) == 10
    with file.open("w", encoding="utf-8-sig", newline="") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        for number, row in enumerate(rows[:9]):
            table.writerow({**row, "verdict": "rejected" if number else "accepted", "reason": "a loop"})
        table.writerow(rows[9])
    before = {name: entry["status"] for name, entry in run.read_manifest()["stages"].items()}
    assert main(["reasonings", path, "--predictions", "--import", str(file), "--by", "Ada"]) == 0
    said = capsys.readouterr().err
    assert "9 verdicts of Ada recorded; 1 rows have no verdict yet" in said
    assert "accepted: 1 of 9, 11.1\u00a0% [2.0\u00a0%, 43.5\u00a0%], mode reasoned" in said
    assert len(read_readings(run)) == 9
    assert before == {name: entry["status"] for name, entry in run.read_manifest()["stages"].items()}
    sentence = (
        "Ada read 9 of the reasonings that are shown in mode reasoned, without gold label, mode and probabilities, "
        "and accepted 1: 11.1 % (95 % CI 2.0 % to 43.5 %)."
    )
    page = Page(run.report.read_text(encoding="utf-8")).text
    assert sentence in page
    assert f"- {sentence}" in run.model_card.read_text(encoding="utf-8").replace("\u00a0", " ")
    assert main(["reasonings", path, "--predictions", "--import", str(file), "--by", "Ada"]) == 0
    assert "the file holds no new verdicts" in capsys.readouterr().err


def test_a_run_of_an_older_whylabel_can_be_read_too(run, tmp_path, capsys):
    metrics = json.loads(run.evaluation_metrics.read_text())
    del metrics["reasonings"]
    run.evaluation_metrics.write_text(json.dumps(metrics))
    file = tmp_path / "read.jsonl"
    assert main(["reasonings", str(run.path), "--predictions", "--output", str(file)]) == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 48 and rows[0]["gold"] in ("joy", "fear") and rows[0]["probabilities"]
    file.write_text("".join(json.dumps({**row, "verdict": "accepted"}) + "\n" for row in rows))
    assert main(["reasonings", str(run.path), "--predictions", "--import", str(file), "--by", "Ben"]) == 0
    page = Page(run.report.read_text(encoding="utf-8")).text
    assert (
        "Ben read 48 of the reasonings that are shown in mode reasoned, knowing the gold label, and" in page
    )
    assert "What the reasonings say" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--blind"], "--blind needs --predictions"),
        (["--sample", "3"], "--sample needs --predictions"),
        (["--output", "x.csv"], "--output needs --predictions"),
        (["--predictions", "--state", "kept"], "--state does not go with --predictions"),
        (["--predictions", "--json"], "--json does not go with --predictions"),
        (["--predictions", "--import", "x.csv", "--blind"], "--blind does not go with --import"),
        (["--predictions", "--output", "x.txt"], "cannot be written as '.txt'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run, capsys, arguments, message):
    assert main(["reasonings", str(run.path), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_no_other_file_is_replaced(run, tmp_path, capsys):
    file = tmp_path / "mine.csv"
    file.write_text("id,text\n1,mine\n")
    assert main(["reasonings", str(run.path), "--predictions", "--output", str(file)]) == 2
    assert "would replace a file that whylabel has not written" in capsys.readouterr().err
    assert file.read_text() == "id,text\n1,mine\n"
