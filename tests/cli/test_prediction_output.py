import csv
import json

import pyarrow
import pytest
from pyarrow import parquet

from whylabel.cli.prediction_output import checked_output
from whylabel.errors import UsageError
from whylabel.evaluation.predictions import write_predictions
from whylabel.prediction.journal import open_journal
from whylabel.run_folder import RunFolder
from whylabel.types import Prediction


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path / "run")
    for folder in (run.classifier_model, run.baseline_model, run.kept.parent, run.predictions.parent):
        folder.mkdir(parents=True)
    return run


@pytest.fixture
def check(run, tmp_path):
    def check(output, model=run.path, sources=("texts.csv",)):
        return checked_output(tmp_path / output, str(model), [tmp_path / name for name in sources])

    (tmp_path / "texts.csv").write_text("text\na\n")
    return check


def refused(check, output, message, **named):
    with pytest.raises(UsageError, match=message) as caught:
        check(output, **named)
    assert caught.value.where and caught.value.fix


def test_the_texts_are_never_replaced_under_whatever_name(check, tmp_path):
    texts = tmp_path / "texts.csv"
    (tmp_path / "link.csv").symlink_to(texts)
    (tmp_path / "hard.csv").hardlink_to(texts)
    (tmp_path / "folder").symlink_to(tmp_path)
    for name in ("texts.csv", "link.csv", "hard.csv", "./run/../texts.csv", "folder/texts.csv"):
        refused(check, name, "^A file of predictions would replace what it is made from")
    (tmp_path / "out.csv.partial").hardlink_to(texts)
    refused(
        check, "out.csv", "^out.csv.partial, which grows beside the output, would replace what it is made"
    )
    assert texts.read_text() == "text\na\n"


@pytest.mark.parametrize(
    "name",
    [
        *("augment/train.parquet", "evaluation/predictions.parquet", "evaluation/answers/x.jsonl"),
        *("classifier/model/out.jsonl", "baseline/new.csv", "reasoner/model/deep/out.csv"),
    ],
)
def test_files_of_the_run_and_its_models_are_not_written(check, run, tmp_path, name):
    for model in (run.path, run.classifier_model, run.baseline_model):
        refused(check, run.path / name, "into a folder of the model or its run", model=model)
    (tmp_path / "link.csv").symlink_to(run.path / "augment" / "new.csv")
    refused(check, "link.csv", "into a folder of the model or its run")


def test_a_saved_model_is_its_folder_and_beside_the_files_of_a_run_there_is_room(check, run, tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "config.json").touch()
    refused(check, "saved/out.csv", "into a folder of the model", model=tmp_path / "saved")
    assert check("out.csv", model=tmp_path / "saved") == tmp_path / "out.csv"
    assert check(run.path / "labelled.csv") == run.path / "labelled.csv"


CSV = [*("id", "text", "label", "p(=odd)", "p(even)"), *("reasoning", "status", "error")]
JSON = {
    "id": 1,
    "text": "a",
    "label": "x",
    "probabilities": {},
    "reasoning": None,
    "mode": "fast",
    "status": "ok",
}


def write(path, content):
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.table({name: ["x"] for name in content}), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", [CSV]),
        ("a.csv", [["id", "label", "p(a)", "reasoning", "status", "error"], ["1", "a", "1", "", "ok", ""]]),
        ("a.jsonl", [JSON]),
        ("a.jsonl", [{**JSON, "error": "the text is blank"}]),
        ("a.parquet", [*JSON, "error"]),
        ("a.parquet", ["id", "label", "labels", *list(JSON)[3:], "error"]),
    ],
)
def test_earlier_predictions_are_replaced(check, tmp_path, name, content):
    assert check(write(tmp_path / name, content)) == tmp_path / name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.csv", [["note"], ["call Ada"]]),
        ("notes.csv", [[*CSV, "mine"]]),
        ("notes.csv", [["label", "reasoning", "status", "error"]]),
        ("notes.jsonl", [{"note": "call Ada"}]),
        ("notes.jsonl", [["id", "label"]]),
        ("notes.jsonl", [{**JSON, "mine": 1}]),
        ("notes.parquet", ["note"]),
        ("notes.parquet", [*JSON, "error", "mine"]),
    ],
)
def test_files_of_the_user_are_not_replaced(check, tmp_path, name, content):
    refused(check, write(tmp_path / name, content), "a file that whylabel has not written")


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b"PK\3\4 and so on", b"{torn", b'"lone quote\n', b"\n\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_what_cannot_be_read_is_not_ours(check, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refused(check, name, "a file that whylabel has not written")


def test_the_comparison_of_a_run_is_no_file_of_predictions(check, tmp_path):
    write_predictions(tmp_path / "copy.parquet", [])
    refused(check, "copy.parquet", "a file that whylabel has not written")


def test_a_folder_that_nobody_may_write_to_is_refused(check, tmp_path, monkeypatch):
    def refuse(dir):
        assert dir == tmp_path / "there"
        raise PermissionError(13, "Permission denied")

    (tmp_path / "there").mkdir()
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    refused(check, "there/new/deep/out.csv", r"^No file can be written there: Permission denied\.")
    (tmp_path / "folder.csv").mkdir()
    refused(check, "folder.csv", r"^This is a folder, not a file\.")


def test_a_name_may_be_as_long_as_the_file_that_is_written_first_allows(check, tmp_path):
    # 255 bytes at the most, of which `.partial-` and a number take 16.
    assert check(f"{'x' * 235}.csv") == tmp_path / f"{'x' * 235}.csv"
    refused(check, f"{'x' * 236}.csv", r"^No file can be written there: File name too long\.")


def test_an_empty_file_is_filled_and_a_link_is_followed(check, tmp_path):
    (tmp_path / "empty.csv").touch()
    assert check("empty.csv") == tmp_path / "empty.csv"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere" / "out.csv")
    assert check("link.csv") == tmp_path / "elsewhere" / "out.csv"


def test_a_device_is_no_file(check, tmp_path):
    refused(check, "/dev/null", "^Predictions cannot be written as 'a file without suffix'")
    (tmp_path / "null.csv").symlink_to("/dev/null")
    refused(check, "null.csv", "^Predictions cannot be written as 'a file without suffix'")


def test_what_grows_beside_the_output_replaces_nothing_of_the_user(check, tmp_path):
    partial = tmp_path / "out.csv.partial"
    partial.write_text("half of a download")
    refused(check, "out.csv", "^out.csv.partial, which grows beside the output, would replace a file that")
    partial.write_text('{"whylabel": "predic')
    assert check("out.csv")
    partial.unlink()
    with open_journal(partial, 1, {}) as journal:
        journal.add(0, Prediction("1", "a", (1.0,)))
    assert check("out.csv")


def test_a_file_in_the_place_of_the_lock_is_refused(check, tmp_path):
    lock = tmp_path / ".out.csv.partial.lock"
    lock.touch()
    check("out.csv")
    lock.write_text("mine")
    refused(
        check, "out.csv", r"^\.out\.csv\.partial\.lock, which is locked meanwhile, would replace a file that"
    )
