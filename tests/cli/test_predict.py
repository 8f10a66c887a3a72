import csv
import io
import json
import re
import shutil
from functools import partial

import pandas as pd
import pyarrow
import pytest
from pyarrow import parquet

from whylabel.cli.main import main
from whylabel.cli.prediction_files import PREDICTED, output_names
from whylabel.errors import ModelError
from whylabel.prediction.trained import TrainedClassifier
from whylabel.types import Evidence

REASONING = ("reasoning", "reasoning_status", "disagrees")

TEXTS = ['She said "no, thanks", twice', "two\nlines", "=SUM(A1)", "🎉 emoji", "the <|label|> and <|im_end|>"]


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


def test_evidence_is_a_column_in_every_format_where_it_is_asked_for(model, texts, tmp_path, monkeypatch):
    # The tiny model's labels may rest on nothing.
    monkeypatch.setattr(
        "whylabel.prediction.trained.find_evidence",
        lambda texts, log_p: [(Evidence(0, 2, text[:2], 1.5),) for text in texts],
    )
    for suffix in ("jsonl", "csv", "parquet"):
        # The second time in place of the first: predictions may replace predictions.
        for _ in range(2):
            assert run(model, *options(texts), "--evidence", "--output", tmp_path / f"out.{suffix}") == 0
        assert run(model, *options(texts), "--output", tmp_path / f"plain.{suffix}") == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    cells = [json.loads(cell) for cell in pd.read_csv(tmp_path / "out.csv")["evidence"]]
    lists = [list(cell) for cell in pd.read_parquet(tmp_path / "out.parquet")["evidence"]]
    assert [line["evidence"] for line in lines] == cells == lists
    assert any(cells)
    for line, text in zip(lines, TEXTS, strict=True):
        assert all(text[each["start"] : each["end"]] == each["text"] for each in line["evidence"])
    assert "evidence" not in json.loads((tmp_path / "plain.jsonl").read_text().splitlines()[0])
    assert "evidence" not in pd.read_csv(tmp_path / "plain.csv")
    assert "evidence" not in pd.read_parquet(tmp_path / "plain.parquet")


def test_what_was_done_is_said(model, texts, tmp_path, capsys):
    output = tmp_path / "out.csv"
    assert run(model, *options(texts), "--output", output) == 0
    first, second, bar, last = capsys.readouterr().err.splitlines()
    assert first == "texts: column 'Customer says', named with --text-column"
    assert second == "ids: column 'Ref', named with --id-column"
    assert re.fullmatch(r"  predict: 5 of 5 rows · [0-9,]+ tok/s · .*", bar)
    assert last == f"5 rows in {output}"
    assert run(model, *options(texts)) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 5 and "  predict: 5 of 5 rows · " in said.err


def test_the_model_is_loaded_onto_the_device_that_is_named(model, texts, monkeypatch, capsys):
    loads = []

    def from_folder(folder, *, device, **engine):
        loads.append((folder, device))
        raise ModelError("it is enough to know")

    monkeypatch.setattr(TrainedClassifier, "from_folder", from_folder)
    assert run(model, *options(texts)) == run(model, *options(texts), "--device", "cuda:1") == 2
    assert loads == [(str(model), "auto"), (str(model), "cuda:1")]


def test_what_was_printed_before_an_interruption_is_counted(model, texts, monkeypatch, capsys):
    predict = TrainedClassifier.predict

    def interrupted(self, rows, mode, **options):
        yield from predict(self, rows[:2], mode, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainedClassifier, "predict", interrupted)
    assert run(model, *options(texts)) == 130
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert said.err.endswith(
        "Interrupted. 2 of 5 rows were printed and are valid, but nothing is kept: the same command starts "
        "again with the first row. With --output FILE it would continue.\n"
    )


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
    assert [row["text"] for row in rows] == ["first line", "", "third line"]
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


def test_a_failure_before_the_first_row_leaves_no_half_file(model, texts, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out.jsonl"
    assert run(model, *options(texts), "--output", output) == 0
    before = output.read_text()

    def dies(self, rows, mode, **options):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(TrainedClassifier, "predict", dies)
    assert run(model, *options(texts), "--output", output) == 130
    assert output.read_text() == before
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.jsonl"}
    assert "Interrupted. No row was finished yet" in capsys.readouterr().err


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


def test_the_most_doubtful_rows_are_marked(model, texts, tmp_path, capsys):
    assert run(model, *options(texts), "--output", tmp_path / "plain.jsonl") == 0
    plain = [json.loads(line) for line in (tmp_path / "plain.jsonl").read_text().splitlines()]
    assert "to_review" not in plain[0]
    best = [max(row["probabilities"].values()) for row in plain]
    expected = [value in sorted(best)[:2] for value in best]
    for suffix in ("jsonl", "csv", "parquet"):
        # The second time in place of the first: predictions may replace predictions.
        for _ in range(2):
            output = tmp_path / f"out.{suffix}"
            assert run(model, *options(texts), "--review-share", "0.3", "--output", output) == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["to_review"] for line in lines] == expected
    assert list(pd.read_csv(tmp_path / "out.csv")["to_review"] == "yes") == expected
    assert list(pd.read_parquet(tmp_path / "out.parquet")["to_review"]) == expected
    capsys.readouterr()
    assert run(model, *options(texts), "--review-share", "0.3") == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["to_review"] for line in printed] == expected
    assert run(model, *options(texts), "--review-share", "30") == 2


def test_disagreement_is_refused_where_nothing_is_known_of_it(model, texts, capsys):
    # This model cannot answer without a reasoning.
    assert run(model, *options(texts), "--review-share", "0.3", "--review-by", "both") == 2
    assert "does not say whether it would label otherwise without a reasoning" in capsys.readouterr().err


def test_an_interruption_before_rows_are_marked_says_that_none_was_printed(model, texts, monkeypatch, capsys):
    predict = TrainedClassifier.predict

    def dies(*arguments, **named):
        yield next(predict(*arguments, **named))
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainedClassifier, "predict", dies)
    assert run(model, *options(texts), "--review-share", "0.3") == 130
    said = capsys.readouterr()
    assert said.out == "" and "No row was printed yet, and nothing is kept." in said.err


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_the_columns_of_the_input_come_first_and_none_is_lost_or_confused(model, tmp_path, suffix, capsys):
    gold = [
        {"region": "=north", "label": "even", "ID": at, "text": f"text {at}", "status": 3.5} for at in (7, 8)
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in gold))
    output = tmp_path / f"out.{suffix}"
    assert run(model, "--input", path, "--output", output) == 0
    found = read(output)
    names = ["region", "input_label", "id", "text", "input_status", "label"]
    assert list(found.columns)[:6] == names and len(set(found.columns)) == len(found.columns)
    assert list(found["id"]) == [7, 8] and list(found["input_label"]) == ["even", "even"]
    assert list(found["input_status"]) == [3.5, 3.5]
    assert list(found["region"]) == (["'=north"] if suffix == "csv" else ["=north"]) * 2
    said = capsys.readouterr().err
    assert (
        "column 'label' of the input is 'input_label' in the output" in said
        and "'ID'" not in said.split("ids:")[0]
    )
    assert run(model, "--input", path, "--output", output, "--columns", "none") == 0
    plain = {
        "jsonl": ["id", "label", "probabilities", *REASONING, "mode", "status"],
        "csv": ["id", "label", "p(=odd)", "p(even)", *REASONING, "status", "error"],
        "parquet": ["id", "label", "probabilities", *REASONING, "mode", "status", "error"],
    }
    assert list(read(output).columns) == plain[suffix]


def read(path):
    readers = {".jsonl": partial(pd.read_json, lines=True, dtype=False), ".csv": pd.read_csv}
    return readers.get(path.suffix, pd.read_parquet)(path)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["text", "p(even)", "mode", "labels"], ["text", "input_p(even)", "input_mode", "input_labels"]),
        (["P(Even)", "idea", "errors"], ["input_P(Even)", "idea", "errors"]),
        (["label", "Label"], ["input_label", "input_input_Label"]),
        (["label", "input_label"], ["input_input_label", "input_label"]),
        (["Input_Label", "label"], ["Input_Label", "input_input_label"]),
        (["Id", "id"], ["id", "input_id"]),
    ],
)
def test_names_stay_apart_whatever_their_case(columns, expected):
    found = output_names(tuple(columns), "Id", {*PREDICTED, "p(even)"})
    assert list(found.items()) == list(zip(columns, expected, strict=True))


def test_a_column_id_that_is_not_the_id_is_kept_beside_it(model, tmp_path, capsys):
    path = tmp_path / "in.csv"
    path.write_text("id,ref,text\n1,a,x\n1,b,y\n")
    assert run(model, "--input", path, "--id-column", "ref") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(row)[:5] for row in rows] == [["input_id", "ref", "text", "id", "label"]] * 2
    assert [(row["input_id"], row["id"]) for row in rows] == [("1", "a"), ("1", "b")]
    assert run(model, "--input", path) == 2
    assert "The id '1' occurs twice." in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_rows_without_an_id_get_one(model, tmp_path, suffix):
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": 7, "text": "x"}\n{"id": null, "text": "y"}\n')
    assert run(model, "--input", path, "--output", tmp_path / f"out.{suffix}") == 0
    first, second = map(str, read(tmp_path / f"out.{suffix}")["id"])
    assert first == "7" and len(second) == 12


def test_parquet_keeps_the_types_of_the_input(model, tmp_path):
    table = pyarrow.table(
        {
            "id": pyarrow.array([1, 2], pyarrow.int32()),
            "text": ["x", "y"],
            "when": pyarrow.array([1, None], pyarrow.timestamp("ns")),
            "nested": [{"a": [1], "b": "\N{SNOWMAN}"}, None],
            "kind": pyarrow.array(["x", "y"]).dictionary_encode(),
            "label": pyarrow.array([0, 1], pyarrow.int8()),
        }
    )
    parquet.write_table(table, tmp_path / "in.parquet")
    assert run(model, "--input", tmp_path / "in.parquet", "--output", tmp_path / "out.parquet") == 0
    found = parquet.read_table(tmp_path / "out.parquet")
    for name in table.column_names:
        other = "input_label" if name == "label" else name
        assert found[other].type == table[name].type and found[other].to_pylist() == table[name].to_pylist()


def test_other_inputs_have_the_types_of_their_cells_in_parquet(model, tmp_path):
    rows = [
        {
            "text": "x",
            "n": 1,
            "f": 1,
            "b": True,
            "s": "x",
            "l": ["a"],
            "o": {"a": 1},
            "m": 1,
            "e": {},
            "z": None,
        },
        {"text": "y", "n": None, "f": 0.5, "b": False, "s": None, "l": [], "o": {"b": "x"}, "m": "one"},
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(model, "--input", path, "--output", tmp_path / "out.parquet") == 0
    found = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["f"] for row in found] == [1.0, 0.5]
    assert (
        found[0] | {"n": 1, "b": True, "l": ["a"], "o": {"a": 1, "b": None}, "m": "1", "e": "{}"} == found[0]
    )
    assert found[1] | {"n": None, "s": None, "l": [], "m": "one", "z": None} == found[1]


def test_the_text_column_of_the_training_is_taken_where_the_file_has_it(model, tmp_path, capsys):
    trained = shutil.copytree(model, tmp_path / "model")
    card = json.loads((trained / "whylabel.json").read_text())
    card["columns"] = {"text": "title", "label": "topic", "id": "ref"}
    (trained / "whylabel.json").write_text(json.dumps(card))
    path = tmp_path / "in.csv"
    path.write_text("ref,title,text\nr1,,a text with some words\n")

    def said(*arguments):
        run(trained, "--input", path, *arguments)
        found = capsys.readouterr()
        return json.loads(found.out), found.err

    row, err = said()
    assert row["error"] == "the text is blank" and row["id"] == "r1"
    assert "texts: column 'title', the model was trained on it" in err
    assert "ids: column 'ref', the training data had it" in err
    row, err = said("--text-column", "text")
    assert row["status"] != "failed" and "texts: column 'text', named with --text-column" in err
    path.write_text("text\nwords\n")
    row, err = said()
    assert row["status"] != "failed"
    assert "column 'text', recognised, because the file lacks 'title', which the model was trained on" in err


def test_a_refused_output_is_refused_before_the_model_is_loaded(model, texts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(TrainedClassifier, "from_folder", lambda *_, **__: pytest.fail("it was loaded"))
    before = texts.read_bytes()
    (tmp_path / "notes.csv").write_text("note\ncall Ada\n")
    for output in (texts, tmp_path / "notes.csv", model / "out.csv"):
        assert run(model, *options(texts), "--output", output) == 2
    assert texts.read_bytes() == before and (tmp_path / "notes.csv").read_text() == "note\ncall Ada\n"
    said = capsys.readouterr().err
    assert "would replace what it is made from" in said and "into a folder of the model" in said


def test_no_lines_are_a_file_of_no_rows(model, tmp_path, monkeypatch):
    for suffix in ("jsonl", "csv", "parquet"):
        monkeypatch.setattr("sys.stdin", stdin_of(b""))
        assert run(model, "--output", tmp_path / f"out.{suffix}") == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert list(read(tmp_path / "out.csv").columns[:3]) == ["id", "text", "label"]
    assert len(read(tmp_path / "out.parquet")) == 0


def test_the_engine_that_is_named_writes_the_reasonings(model, texts, tmp_path, monkeypatch):
    monkeypatch.setenv("WHYLABEL_CACHE", str(tmp_path / "cache"))
    found = {}
    for name, more in (
        ("transformers", ["max_rows=2"]),
        ("openvino", ["threads=1", "tokens_in_flight=4096"]),
    ):
        output = tmp_path / f"{name}.jsonl"
        engine = ["--engine", name, *(word for option in more for word in ("--engine-option", option))]
        assert run(model, *options(texts), "--output", output, *engine) == 0
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        found[name] = [(row["id"], row["label"], row["reasoning"], row["status"]) for row in rows]
    assert list((tmp_path / "cache" / "openvino").iterdir()), "openvino was not used"
    assert found["openvino"] == found["transformers"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine-option", "threads"], "--engine-option 'threads' is no KEY=VALUE"),
        (["--engine", "openvino", "--engine-option", "thread=2"], "where: --engine-option thread"),
        (["--workers", "2"], "workers need a cluster: add --distributed ray"),
        (["--engine", "openai"], "'openai' is not one of"),
    ],
)
def test_an_engine_that_cannot_be_had_is_said_before_anything_is_loaded(
    model, texts, monkeypatch, capsys, arguments, said
):
    monkeypatch.setattr("whylabel.models.load.load", None)
    assert run(model, *options(texts), *arguments) == 2
    assert said in capsys.readouterr().err
