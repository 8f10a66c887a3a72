import csv
import json
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest

from review_file import edit
from whylabel.cli.main import main
from whylabel.data import load_dataset, load_reasoning
from whylabel.data.readers import read_table
from whylabel.reasonings.files import dropped_rows, kept_rows
from whylabel.reasonings.review import ReviewRow, review_rows
from whylabel.reasonings.store import Decision, open_store
from whylabel.recipe import ReasonerConfig, load_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages.augment.sort import SUSPECT
from whylabel.stages.folds import OutOfFold, write_out_of_fold
from whylabel.text.hashes import reasoning_hash
from whylabel.types import Dropped, ReasonedExample

REASON = "=a reason, of five words"
KEPT = [("k1", "joy"), ("k2", "fear"), ("k3", "joy")]
DROPPED = [
    ("d1", "joy", "too short"),
    ("d2", "fear", "copy of the text"),
    ("d3", "fear", "copy of the question"),
]


@pytest.fixture
def run(tmp_path):
    """A run of three kept rows, three dropped ones and a failed one."""
    run = RunFolder(tmp_path / "run")
    run.update_manifest()
    with kept_rows(run.kept) as keep, dropped_rows(run.dropped) as drop:
        for name, label in KEPT:
            keep(ReasonedExample(name, f"Text of {name}", label, REASON, "reasoner"))
        for name, label, reason in DROPPED:
            drop(Dropped(ReasonedExample(name, f"Text of {name}", label, f"Words of {name}"), reason))
    run.augment_metrics.write_text(json.dumps({"failures": {"f1": "copy machine on fire"}}))
    return run


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ([], ["k1", "k2", "k3", "d1", "d2", "d3", "f1"]),
        (["--label", "fear"], ["k2", "d2", "d3"]),
        (["--label", "FEAR"], []),
        (["--state", "kept"], ["k1", "k2", "k3"]),
        (["--state", "dropped"], ["d1", "d2", "d3"]),
        (["--state", "failed"], ["f1"]),
        (["--reason", "copy"], ["d2", "d3", "f1"]),
        (["--reason", "copy of the text"], ["d2"]),
        (["--reason", "copy", "--state", "dropped", "--label", "joy"], []),
        (["--search", "TEXT OF D"], ["d1", "d2", "d3"]),
        (["--search", "words of d3"], ["d3"]),
        (["--search", "d", "--label", "fear", "--reason", "copy", "--state", "dropped"], ["d2", "d3"]),
        (["--limit", "2"], ["k1", "k2"]),
        (["--limit", "1", "--state", "dropped"], ["d1"]),
    ],
)
def test_every_filter_holds_for_what_is_shown_and_what_is_exported(run, tmp_path, capsys, arguments, ids):
    path = str(run.path)
    assert main(["reasonings", path, "--json", *arguments]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ids
    assert main(["reasonings", path, *arguments]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown if not line.startswith(" ")] == ids
    assert main(["reasonings", path, "--export", str(tmp_path / "some.jsonl"), *arguments]) == 0
    exported = (tmp_path / "some.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in exported] == ids


def test_a_row_is_shown_in_a_few_lines(run, monkeypatch, capsys):
    rows = [
        ReviewRow("1", "a text\nof  lines", "joy", "so it is", "kept", margin=0.5),
        ReviewRow("2", "text", "fear", "", "dropped", "too short", margin=-1.234),
        ReviewRow(
            "3", "", "", "", "failed", "timed out", verdict="cleared", decided_by="Ada", decided_at="now"
        ),
        ReviewRow(
            "4", "t", "joy", "w", "kept", verdict="accepted", note="yes", decided_by="Ben", decided_at="then"
        ),
    ]
    monkeypatch.setattr("whylabel.reasonings.review.review_rows", lambda run: iter(rows))
    assert main(["reasonings", str(run.path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        *("1  joy  (kept, margin +0.50)", "  text: a text of lines", "  why: so it is"),
        *("2  fear  (dropped: too short, margin -1.23)", "  text: text"),
        *("3    (failed: timed out)", "  decided: cleared by Ada, now"),
        *("4  joy  (kept)", "  text: t", "  why: w", "  decided: accepted by Ben, then: yes"),
    ]


def test_where_no_row_is_found_that_is_said(run, capsys):
    assert main(["reasonings", str(run.path), "--search", "nobody wrote this"]) == 0
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", "this run has no such reasoning\n")


def test_twenty_rows_are_shown_and_all_are_exported(run, tmp_path, monkeypatch, capsys):
    rows = [ReviewRow(str(at), "text", "joy", "why", "kept") for at in range(23)]
    monkeypatch.setattr("whylabel.reasonings.review.review_rows", lambda run: iter(rows))
    assert main(["reasonings", str(run.path), "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in shown] == [str(at) for at in range(20)]
    assert shown[0] == asdict(rows[0])
    path = tmp_path / "all.jsonl"
    assert main(["reasonings", str(run.path), "--export", str(path)]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"23 rows in {path}\n")
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [str(at) for at in range(23)]


def test_a_file_is_no_run(tmp_path, capsys):
    (tmp_path / "run").touch()
    assert main(["reasonings", str(tmp_path / "run")]) == 2
    assert "is a file" in capsys.readouterr().err


def test_an_unknown_state_is_refused(run, capsys):
    assert main(["reasonings", str(run.path), "--state", "lost"]) == 2
    assert "'lost' is not one of" in capsys.readouterr().err


def test_what_is_exported_comes_back_and_decisions_are_shown(run, tmp_path, capsys):
    path, folder = tmp_path / "all.csv", str(run.path)
    assert main(["reasonings", folder, "--export", str(path)]) == 0
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 7
    assert rows[0]["reasoning"] == f"'{REASON}"
    assert (rows[0]["verdict"], rows[0]["note"], rows[0]["decided_by"]) == ("", "", "")
    edit(path, {"k1": {"verdict": "rejected", "note": "off\ntopic"}})
    capsys.readouterr()
    assert main(["reasonings", folder, "--import", str(path), "--by", "Ada"]) == 0
    assert "1 rejected; they take effect with the next: whylabel run" in capsys.readouterr().err
    assert main(["reasonings", folder, "--import", str(path), "--by", "Ben"]) == 0
    assert "the file holds no new decisions" in capsys.readouterr().err
    assert main(["reasonings", folder, "--limit", "1"]) == 0
    assert "  decided: rejected by Ada, 20" in (shown := capsys.readouterr().out)
    assert shown.rstrip().endswith("Z: off topic")


@pytest.mark.parametrize("name", ["all.txt", "all"])
def test_a_file_of_another_kind_is_refused(run, tmp_path, capsys, name):
    assert main(["reasonings", str(run.path), "--export", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith("Error: Reasonings cannot be written as ")
    assert main(["reasonings", str(run.path), "--import", str(tmp_path / name)]) == 2


@pytest.mark.parametrize(
    "line",
    [
        r'{"id": "k1", "reasoning": "\ud800"}',
        r'{"id": "k1", "reasoning": "by hand", "note": "\u0000"}',
        r'{"id": "\ud800", "reasoning": "by hand"}',
        r'{"id": "k1", "reasoning": "by hand", "verdict": "\ud800"}',
        '{"id": "k1", "reasoning": 1e400}',
    ],
)
def test_a_file_with_odd_text_is_no_internal_error(run, tmp_path, capsys, line):
    path = tmp_path / "odd.jsonl"
    path.write_text(f"\n{line}\n")
    code = main(["reasonings", str(run.path), "--import", str(path), "--by", "Ada"])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert code == 0 if "1e400" in line else (code == 2 and f"{path}, line 2" in said)


def test_a_name_that_is_no_text_is_refused(run, tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "k1", "reasoning": "by hand"}')
    assert main(["reasonings", str(run.path), "--import", str(path), "--by", "\udcff"]) == 2
    assert "--by NAME" in capsys.readouterr().err


def test_control_characters_do_not_reach_the_terminal(run, monkeypatch, capsys):
    odd = {"id": "\x1b]0;id", "label": "\x1b[1m", "text": "a\x1b[2J", "reasoning": "\x07b"}
    decided = {"verdict": "edited", "note": "\x1bc", "decided_by": "\x07d", "decided_at": "now"}
    rows = [replace(row, **odd, **decided) for row in review_rows(run)]
    monkeypatch.setattr("whylabel.reasonings.review.review_rows", lambda run: iter(rows))
    assert main(["reasonings", str(run.path), "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert "text: a\ufffd[2J" in shown and "why: \ufffdb" in shown
    assert "decided: edited by \ufffdd, now: \ufffdc" in shown
    assert not {"\x1b", "\x07"} & set(shown)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_export_replaces_an_export_and_nothing_else(run, tmp_path, capsys, suffix):
    path = tmp_path / f"all{suffix}"
    for _ in range(2):
        assert main(["reasonings", str(run.path), "--export", str(path)]) == 0
    mine = tmp_path / f"mine{suffix}"
    if suffix == ".parquet":
        mine.write_bytes(run.kept.read_bytes())
    else:
        mine.write_text("id,text,label\n1,my only copy,joy\n")
    before = mine.read_bytes()
    assert main(["reasonings", str(run.path), "--export", str(mine)]) == 2
    said = capsys.readouterr().err
    assert "Error: An export of reasonings would replace a file that whylabel has not written." in said
    assert "fix: name another file: --export FILE" in said
    assert mine.read_bytes() == before


def test_an_export_follows_a_link(run, tmp_path):
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    link.symlink_to(real)
    assert main(["reasonings", str(run.path), "--export", str(link)]) == 0
    assert link.is_symlink()
    assert real.read_bytes().startswith(b"\xef\xbb\xbfid,")
    (tmp_path / "wrong.csv").symlink_to(tmp_path / "notes.txt")
    assert main(["reasonings", str(run.path), "--export", str(tmp_path / "wrong.csv")]) == 2


def hand_out(run, file, count="4"):
    assert main(["reasonings", str(run), "--seed", count, "--export", str(file)]) == 0
    return read_table(file).columns


def test_rows_to_write_are_handed_out_and_come_back(run, tmp_path, capsys):
    file = tmp_path / "seeds.csv"
    columns = hand_out(run.path, file)
    assert file.read_bytes().startswith(b"\xef\xbb\xbfid,text,label,reasoning,question,answer,reasoning_hash")
    assert Counter(columns["label"]) == {"joy": 2, "fear": 2}
    assert not any(columns["reasoning"]) and "f1" not in columns["id"]
    said = capsys.readouterr().err
    assert "4 rows in" in said and f"--import {file}" in said and "reasoner.data=[builtin:cues," in said
    filled = columns["id"][:3]
    edit(file, {name: {"reasoning": f'It says "{name}", so it is.'} for name in filled})
    assert main(["reasonings", str(run.path), "--import", str(file), "--by", "Ada"]) == 0
    assert "3 edited" in capsys.readouterr().err
    decided = {row.id: row for row in review_rows(run) if row.verdict}
    assert {name: row.verdict for name, row in decided.items()} == dict.fromkeys(filled, "edited")
    with open_store(run.store) as store:
        found = store.find_decisions([decided[name].row for name in filled])
    assert {each.reasoning for each in found.values()} == {f'It says "{name}", so it is.' for name in filled}


def test_a_file_in_which_every_row_is_filled_comes_back(run, tmp_path, capsys):
    file = tmp_path / "seeds.jsonl"
    columns = hand_out(run.path, file, "6")
    edit(file, {name: {"reasoning": f'It says "{name}", so it is.'} for name in columns["id"]})
    assert main(["reasonings", str(run.path), "--import", str(file), "--by", "Ada"]) == 0
    assert "6 edited" in capsys.readouterr().err


def test_rows_with_a_reasoning_by_people_are_not_handed_out(run, tmp_path, capsys):
    with kept_rows(run.kept) as keep:
        for name, label in KEPT:
            origin = ("data", True, "own") if name == "k1" else ("reasoner", True, "label")
            keep(ReasonedExample(name, f"Text of {name}", label, REASON, *origin))
    with open_store(run.store) as store:
        for name, verdict in (("k2", "accepted"), ("d1", "edited"), ("d2", "rejected")):
            row = next(row for row in review_rows(run) if row.id == name)
            seen = None if verdict == "edited" else reasoning_hash(row.reasoning)
            store.put_decisions([Decision(row.row, verdict, row.reasoning, "Ada", "now", "", seen)])
    assert set(hand_out(run.path, tmp_path / "a.csv", "9")["id"]) == {"k3", "d2", "d3"}
    assert "(the others nearly repeat these, or have one)" in capsys.readouterr().err


def hard_and_easy(tmp_path, **baseline):
    """A run of 40 kept rows, half of which the verifier finds hard (odd numbers), and a suspect one."""
    run = RunFolder(tmp_path / "judged")
    run.update_manifest(data={"labels": ["fear", "joy"]})
    with kept_rows(run.kept) as keep, dropped_rows(run.dropped) as drop:
        for at in range(40):
            margin = (-1.0 if at % 2 else 1.0,)
            label = ("joy", "fear")[at // 2 % 2]
            keep(ReasonedExample(f"k{at}", f"Text of {at}", label, REASON, "reasoner", scores=margin))
        drop(Dropped(ReasonedExample("s", "Unlike all others", "joy", ""), SUSPECT))
    run.augment_metrics.write_text(json.dumps({"failures": {}}))
    if baseline:
        write_out_of_fold(run.out_of_fold, OutOfFold(**baseline))
    return run.path


def test_what_the_verifier_says_of_the_rows_tells_easy_from_hard(tmp_path):
    ids = hand_out(hard_and_easy(tmp_path), tmp_path / "a.csv")["id"]
    assert [int(name[1:]) % 2 for name in ids] == [0, 0, 1, 1]


def test_what_baselines_say_that_have_not_seen_the_rows_comes_first(tmp_path):
    # They find hard what the verifier finds easy.
    joy = [0.9 if (at % 2 == 1) == (at // 2 % 2 == 0) else 0.1 for at in range(40)]
    probabilities = np.array([[1 - share, share] for share in joy])
    path = hard_and_easy(
        tmp_path, ids=[f"k{at}" for at in range(40)], folds=[0] * 40, probabilities=probabilities
    )
    ids = hand_out(path, tmp_path / "a.csv")["id"]
    assert [int(name[1:]) % 2 for name in ids] == [1, 1, 0, 0]


def test_rows_whose_label_looks_wrong_are_not_handed_out(tmp_path):
    assert "s" not in hand_out(hard_and_easy(tmp_path), tmp_path / "a.csv", "99")["id"]


def test_rows_of_a_recipe_are_reasoning_data_once_they_are_filled(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [
        "text,label,why",
        *(f"a text {at * 'x'},{'ab'[at % 2]},{'so' * (at % 4 == 0)}" for at in range(40)),
    ]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    (tmp_path / "r.yaml").write_text(
        "data: {source: d.csv, reasoning_column: why}\ntask: {question: 'Which one?'}"
    )
    assert main(["reasonings", "r.yaml", "--seed", "8"]) == 0
    assert "--import" not in capsys.readouterr().err
    columns = read_table(tmp_path / "seeds.csv").columns
    recipe = load_recipe(tmp_path / "r.yaml")
    train = {row.id: row for row in load_dataset(recipe.data, recipe.task, seed=recipe.seed).train}
    assert len(columns["id"]) == 8 and not any(train[name].reasoning for name in columns["id"])
    edit(tmp_path / "seeds.csv", {name: {"reasoning": f"because {name}"} for name in columns["id"][:6]})
    pairs, _ = load_reasoning(ReasonerConfig(data=["builtin:reasoning", "seeds.csv"]), seed=1)
    assert [(row.question, row.answer, row.reasoning) for row in pairs[-6:]] == [
        (f"{train[name].text}\nWhich one?", train[name].label, f"because {name}")
        for name in columns["id"][:6]
    ]
    assert "Left out 2 of 8 rows of seeds.csv" in capsys.readouterr().err
    before = (tmp_path / "seeds.csv").read_bytes()
    assert main(["reasonings", "r.yaml", "--seed", "8"]) == 2
    assert "somebody may have written" in capsys.readouterr().err
    assert (tmp_path / "seeds.csv").read_bytes() == before


def test_without_a_row_to_write_there_is_no_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_text("text,label,why\n" + "".join(f"t{at},{at % 2},so\n" for at in range(40)))
    (tmp_path / "r.yaml").write_text("data: {source: d.csv, reasoning_column: why}")
    assert main(["reasonings", "r.yaml", "--seed", "8"]) == 0
    assert "no file is written" in capsys.readouterr().err and not (tmp_path / "seeds.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nix", "--seed", "3"], "neither a run folder nor a recipe"),
        (["r.yaml"], "A run is a folder"),
        (["empty", "--seed", "3"], "no reasonings yet"),
        (["empty", "--seed", "0"], "--seed"),
        (["empty", "--seed", "3", "--export", "a.txt"], "no reasonings yet"),
        (["r.yaml", "--seed", "3", "--export", "a.txt"], "cannot be written as '.txt'"),
        (["r.yaml", "--seed", "3", "--label", "joy"], "--label"),
        (["r.yaml", "--seed", "3", "--predictions"], "--predictions"),
    ],
)
def test_what_hands_out_no_rows(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "r.yaml").write_text("data: {source: builtin:emotions}")
    assert main(["reasonings", *arguments]) == 2
    assert message in capsys.readouterr().err
