import csv
import json
from dataclasses import replace

import pandas
import pytest

from whylabel.cli.main import main
from whylabel.cli.review_files import write_rows
from whylabel.engines import Sampling
from whylabel.engines.scripted import ScriptedEngine
from whylabel.errors import DataError, RunFolderError
from whylabel.reasonings.files import read_reasoned
from whylabel.reasonings.review import import_decisions, review_rows
from whylabel.reasonings.store import open_store
from whylabel.recipe import AugmentConfig
from whylabel.run_folder import RunFolder
from whylabel.stages.augment import Reasoner, Work, augment
from whylabel.text.prompts import Prompts
from whylabel.types import Example

REASON = "=a reason, of five words"
EXAMPLES = [Example(f"r{number}", f'Text {number}, "quoted"\nand so on', "joy") for number in range(6)]


@pytest.fixture
def sort(tokenizer, tmp_path):
    """Return a function that augments (row 1 too short, row 5 failed) and returns the run."""

    def run():
        prompts = Prompts(tokenizer)
        engine = ScriptedEngine(lambda index: "short" if index == 1 else REASON, fail_every=6)
        reasoner = Reasoner(
            "reasoner", engine, prompts.reasoner_for_text, Sampling(50, (prompts.eos_id,)), {}
        )
        folder = RunFolder(tmp_path / "run")
        with open_store(folder.store) as store:
            outcome = augment(
                EXAMPLES, Work(reasoner, store, AugmentConfig()), kept=folder.kept, dropped=folder.dropped
            )
        folder.augment_metrics.write_text(json.dumps(outcome.to_json()))
        return folder

    return run


def test_every_row_is_there_with_its_state(sort):
    rows = {row.id: row for row in review_rows(sort())}
    assert set(rows) == {example.id for example in EXAMPLES}
    assert (rows["r0"].state, rows["r0"].reasoning) == ("kept", REASON)
    assert (rows["r1"].state, rows["r1"].reason) == ("dropped", "too short")
    assert (rows["r5"].state, rows["r5"].reason) == ("failed", "scripted failure")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_what_people_decide_holds_and_is_on_record(sort, tmp_path, suffix):
    run = sort()
    path = tmp_path / f"rows.{suffix}"
    write_rows(path, list(review_rows(run)))
    assert import_decisions(run, path, decided_by="Ada") == {}
    edit(path, {"r0": {"verdict": "Rejected", "note": "off topic"}, "r1": {"verdict": "accepted"}})
    edit(path, {"r2": {"reasoning": "better words, by hand"}})
    assert import_decisions(run, path, decided_by="Ada") == {"rejected": 1, "accepted": 1, "edited": 1}

    kept = {row.id: row for row in read_reasoned(sort().kept)}
    assert set(kept) == {"r1", "r2", "r3", "r4"}
    assert (kept["r1"].reasoning, kept["r1"].reasoner) == ("short", "accepted by Ada")
    assert (kept["r2"].reasoning, kept["r2"].reasoner) == ("better words, by hand", "edited by Ada")
    assert kept["r3"].reasoning == REASON
    reasons = {row.id: row.reason for row in review_rows(run) if row.state == "dropped"}
    assert reasons == {"r0": "rejected by a person"}
    with open_store(run.store) as store:
        assert store.count_decisions() == 3


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "text",
    [
        "'@Sam' is thanked for all of it",
        "'=1' is what it says",
        "''- twice over",
        "=1+1 is a sum",
        "NA ",
        " a\tb\r\nc\rd",
    ],
)
def test_what_nobody_edited_comes_back_unedited(sort, tmp_path, monkeypatch, suffix, text):
    run = sort()
    rows = [replace(row, reasoning=text) for row in review_rows(run)]
    monkeypatch.setattr("whylabel.reasonings.review.review_rows", lambda run: iter(rows))
    write_rows(tmp_path / f"rows.{suffix}", rows)
    assert import_decisions(run, tmp_path / f"rows.{suffix}", decided_by="Ada") == {}


def test_the_latest_decision_counts(sort, tmp_path):
    run = sort()
    path = tmp_path / "rows.jsonl"
    write_rows(path, [row for row in review_rows(run) if row.id == "r0"])
    for verdict, kept in (("rejected", False), ("accepted", True)):
        edit(path, {"r0": {"verdict": verdict}})
        import_decisions(run, path, decided_by="Ada")
        assert ("r0" in {row.id for row in read_reasoned(sort().kept)}) is kept


@pytest.mark.parametrize(
    ("row", "change", "message"),
    [
        ("r3", {"id": "nobody"}, "No row of this run has the id 'nobody'"),
        ("r3", {"verdict": "acceptd"}, "Did you mean 'accepted'"),
        ("r3", {"reasoning": " "}, "The reasoning is empty"),
        ("r5", {"verdict": "accepted", "reasoning": "by hand"}, "'r5' failed"),
    ],
)
def test_a_faulty_row_is_named_and_nothing_is_recorded(sort, tmp_path, row, change, message):
    run = sort()
    path = tmp_path / "rows.csv"
    write_rows(path, list(review_rows(run)))
    edit(path, {"r0": {"verdict": "rejected"}, row: change})
    with pytest.raises(DataError, match=message):
        import_decisions(run, path)
    with open_store(run.store) as store:
        assert store.count_decisions() == 0


def test_a_run_without_reasonings_says_so(tmp_path):
    with pytest.raises(RunFolderError, match="no reasonings yet"):
        next(review_rows(RunFolder(tmp_path)))


def test_the_verb_shows_searches_exports_and_imports(sort, tmp_path, capsys):
    run = str(sort().path)
    assert main(["reasonings", run, "--state", "kept", "--limit", "2"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("why: =a reason") == 2
    assert main(["reasonings", run, "--search", "TEXT 1", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["id"] == "r1"
    path = tmp_path / "all.csv"
    assert main(["reasonings", run, "--export", str(path)]) == 0
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6
    assert rows[0]["reasoning"] == f"'{REASON}"
    assert main(["reasonings", run, "--export", str(tmp_path / "all.txt")]) == 2
    assert main(["reasonings", run, "--import", str(tmp_path / "nowhere.csv")]) == 2
    edit(path, {"r0": {"verdict": "rejected"}})
    assert main(["reasonings", run, "--import", str(path), "--by", "Ada"]) == 0
    assert "1 rejected" in capsys.readouterr().err


def test_control_characters_do_not_reach_the_terminal(sort, monkeypatch, capsys):
    run = sort()
    rows = [
        replace(row, id="\x1b]0;id", label="\x1b[1m", text="a\x1b[2J", reasoning="\x07b")
        for row in review_rows(run)
    ]
    monkeypatch.setattr("whylabel.reasonings.review.review_rows", lambda run: iter(rows))
    assert main(["reasonings", str(run.path), "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert "text: a\ufffd[2J" in shown and "why: \ufffdb" in shown
    assert not {"\x1b", "\x07"} & set(shown)


def edit(path, changes):
    """Change cells of an exported file as a person would."""
    readers = {
        ".csv": pandas.read_csv,
        ".jsonl": lambda p, **_: pandas.read_json(p, lines=True),
        ".parquet": pandas.read_parquet,
    }
    named = {"keep_default_na": False} if path.suffix == ".csv" else {}
    frame = readers[path.suffix](path, **named).set_index("id")
    for column in ("verdict", "note", "reasoning"):
        frame[column] = frame[column].astype(object)
    for row_id, values in changes.items():
        for column, value in values.items():
            if column == "id":
                frame = frame.rename(index={row_id: value})
            else:
                frame.loc[row_id, column] = value
    frame = frame.reset_index()
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
