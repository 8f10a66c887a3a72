import csv
import io
import json
from functools import partial

import pandas as pd
import pytest

from whylabel.cli.main import main
from whylabel.models.load import load
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import Recipe, override_recipe
from whylabel.stages.classifier import save_checked, train_classifier
from whylabel.text.labels import LabelSet
from whylabel.types import ReasonedExample

TEXTS = ['She said "no, thanks", twice', "two\nlines", "=SUM(A1)", "🎉 emoji", "the <|label|> and <|im_end|>"]


@pytest.fixture(scope="module")
def model(tiny_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    loaded = load(str(tiny_model_folder), device="cpu")
    rows = [
        ReasonedExample(
            str(number), f"a text of number {number}", ("=odd", "even")[number % 2], "It says so."
        )
        for number in range(8)
    ]
    recipe = override_recipe(Recipe(name="t"), training__max_steps=6, training__learning_rate=1e-2)
    labels = LabelSet(("=odd", "even"))
    card, _ = train_classifier(
        loaded,
        rows,
        labels,
        recipe,
        target="reasoning_label",
        title="t",
        checkpoints=folder / "checkpoints",
        lineage={},
    )
    save_checked(loaded, card, rows, folder / "model")
    return folder / "model"


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "in.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["Ref", "Customer says"])
        table.writerows([f"r{number}", text] for number, text in enumerate(TEXTS))
    return path


def run(model, *arguments):
    return main(["predict", "--model", str(model), *map(str, arguments)])


def options(texts):
    return ["--input", texts, "--text-column", "Customer says", "--id-column", "Ref"]


def test_jsonl_csv_and_parquet_hold_every_row(model, texts, tmp_path):
    for suffix in ("jsonl", "csv", "parquet"):
        output = tmp_path / f"out.{suffix}"
        assert run(model, *options(texts), "--output", output) == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    table = pd.read_csv(tmp_path / "out.csv")
    parquet = pd.read_parquet(tmp_path / "out.parquet")
    assert [row["id"] for row in lines] == list(table["id"]) == list(parquet["id"])
    assert [row["id"] for row in lines] == [f"r{number}" for number in range(len(TEXTS))]
    for row, cells, record in zip(lines, table.itertuples(), parquet.itertuples(), strict=True):
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["label"] in ("=odd", "even")
        assert cells.label.lstrip("'") == row["label"] == record.label
        assert row["status"] == cells.status == record.status


def test_a_spreadsheet_does_not_take_a_cell_for_a_formula(model, texts, tmp_path):
    run(model, *options(texts), "--output", tmp_path / "out.csv")
    for row in csv.reader(io.StringIO((tmp_path / "out.csv").read_text())):
        assert not [cell for cell in row if cell[:1] in ("=", "+", "-", "@")]


def stdin_of(content):
    return io.TextIOWrapper(io.BytesIO(content), encoding="ascii")


def test_lines_on_stdin_become_jsonl_on_stdout(model, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", stdin_of(b"first line\r\n\nthird line"))
    assert run(model) == 4
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert [row["status"] == "failed" for row in rows] == [False, True, False]
    assert rows[1]["error"] == "the text is blank"


def test_bad_requests_end_with_2_and_leave_nothing(model, texts, tmp_path, capsys):
    assert run(model, *options(texts), "--output", tmp_path / "out.xls") == 2
    assert run(tmp_path / "nowhere", *options(texts)) == 2
    assert run(model, "--input", tmp_path / "nowhere.csv") == 2
    assert run(model, "--input", texts, "--text-column", "Custmer says") == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert "Customer says" in errors
    assert not list(tmp_path.glob("out*"))


def test_lines_that_are_no_utf_8_fail_alone(model, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", stdin_of("\ufeffsød\n".encode() + b"\xff\xfe bad\nnul \0\nok\n"))
    assert run(model) == 4
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["id"], row["status"] == "failed") for row in rows] == [
        ("1", False),
        ("2", True),
        ("3", True),
        ("4", False),
    ]
    assert "not readable as text" in rows[1]["error"]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_rows_that_are_not_readable_fail_alone(model, tmp_path, suffix):
    rows = [{"id": "1", "text": "a \ud800 b"}, {"id": "\ud800", "text": "x"}, {"id": "3", "text": ["a", "b"]}]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": "4", "text": "fine"}]))
    output = tmp_path / f"out.{suffix}"
    assert run(model, "--input", path, "--output", output) == 4
    readers = {"jsonl": partial(pd.read_json, lines=True, dtype=False), "csv": pd.read_csv}
    found = readers.get(suffix, pd.read_parquet)(output)
    assert list(map(str, found["id"])) == ["1", "\\ud800", "3", "4"]
    assert list(found["status"] == "failed") == [True, True, True, False]


@pytest.mark.parametrize("name", ["folder.csv", "file.txt/out.csv", f"{'x' * 300}.csv"])
def test_an_output_that_cannot_be_written_is_refused_before_the_model_is_loaded(
    name, texts, tmp_path, capsys
):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file.txt").touch()
    assert run(tmp_path / "no model", *options(texts), "--output", tmp_path / name) == 2
    assert f"where: --output {tmp_path / name}\n  fix: name a file in" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"folder.csv", "file.txt", "in.csv"}


def test_the_folders_of_an_output_are_made(model, texts, tmp_path):
    assert run(model, *options(texts), "--output", tmp_path / "a" / "b" / "out.csv") == 0
    assert (tmp_path / "a" / "b" / "out.csv").exists()


def test_a_failure_in_the_middle_leaves_no_half_file(model, texts, tmp_path, monkeypatch):
    output = tmp_path / "out.jsonl"
    output.write_text("what was there before\n")

    def dies(self, rows, mode, abstain_below):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(TrainedClassifier, "predict", dies)
    assert run(model, *options(texts), "--output", output) == 130
    assert output.read_text() == "what was there before\n"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_mode_is_asked_for_and_one_that_the_model_has_not_is_refused(model, texts, tmp_path, capsys):
    assert run(model, *options(texts), "--mode", "vote") == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["mode"] for row in said] == ["vote"] * len(TEXTS)
    assert run(model, *options(texts), "--mode", "fast", "--output", tmp_path / "out.csv") == 2
    assert "cannot answer in mode 'fast'. It can: reasoned, vote." in capsys.readouterr().err
    assert run(model, *options(texts), "--mode", "slow") == 2
    assert not (tmp_path / "out.csv").exists()


def test_unsure_rows_abstain_and_keep_their_label(model, texts, capsys):
    assert run(model, *options(texts), "--abstain-below", "1") == 0
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert {row["status"] for row in rows} == {"abstained"}
    assert {row["label"] for row in rows} <= {"=odd", "even"}
    assert "5 of 5 rows are below 1: abstained." in said.err
    assert run(model, *options(texts), "--abstain-below", "1.5") == 2
