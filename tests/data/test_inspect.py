import csv
import json

import pytest

from whylabel.data import inspect_dataset, load_dataset
from whylabel.errors import DataError
from whylabel.recipe import DataConfig, TaskConfig
from whylabel.text.hashes import text_hash

ROWS = [{"id": str(at), "text": f"text number {at}", "label": "ab"[at % 2]} for at in range(40)]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def inspect(source, labels=None, count_tokens=None, **settings):
    config = DataConfig(source=source, **settings)
    inspection = inspect_dataset(config, TaskConfig(labels=labels), 1, count_tokens)
    json.dumps(inspection.to_json(), ensure_ascii=False).encode()
    return inspection, {finding.kind: finding for finding in inspection.findings}


def test_clean_data(tmp_path):
    inspection, findings = inspect(write(tmp_path / "d.jsonl", ROWS), count_tokens=len)
    assert inspection.rows == {"train": 29, "validation": 3, "test": 8}
    assert inspection.rows_read == 40 and inspection.rows_unusable == 0
    assert inspection.labels["test"] == {"a": 4, "b": 4}
    assert inspection.label_counts() == {"a": 20, "b": 20}
    assert inspection.lengths["words"] == dict.fromkeys(["min", "median", "p90", "p95", "p99", "max"], 3)
    assert inspection.lengths["tokens"]["max"] == len("text number 10")
    assert inspection.inferred["label_column"] == "label"
    assert not findings


def test_everything_that_is_wrong_is_reported_at_once(tmp_path):
    bad = [
        {"id": "t", "text": " ", "label": "a"},
        {"id": "l", "text": "x y z", "label": None},
        {"id": "u", "text": "u v w", "label": "c"},
        {"id": "7", "text": "double", "label": "a"},
        {"id": "b", "text": "nul \0", "label": "a"},
        {"id": "s", "text": "several", "label": ["a", "b"]},
        {"id": "n", "text": "m n o", "label": "a\0"},
        {"id": "h", "text": "p q r", "label": "\ud800"},
        {"id": "\ud800", "text": "j k l", "label": "a"},
    ]
    source = write(tmp_path / "d.jsonl", [*ROWS, *bad])
    inspection, findings = inspect(source, ["a", "b"], label_column="label")
    ids = {finding.kind: finding.ids for finding in inspection.errors}
    assert ids == {
        "missing_text": ("t",),
        "missing_label": ("l",),
        "unknown_label": ("u",),
        "duplicate_id": ("7",),
        "broken_text": ("b",),
        "several_labels": ("s",),
        "broken_label": ("n", "h"),
        "broken_id": (text_hash("j k l"),),
    }
    assert inspection.rows_read == sum(inspection.rows.values()) + inspection.rows_unusable == 49
    assert "line 43" in findings["unknown_label"].message
    with pytest.raises(DataError):
        load_dataset(DataConfig(source=source), TaskConfig(), seed=1)


def test_dropped_rows_are_no_errors(tmp_path):
    source = write(tmp_path / "d.jsonl", [*ROWS, {"text": None, "label": "a"}])
    inspection, findings = inspect(source, bad_rows="drop")
    assert not inspection.errors
    assert findings["missing_text"].severity == "info"


def test_equal_texts(tmp_path):
    write(
        tmp_path / "train.jsonl", [*ROWS, {**ROWS[0], "id": "same"}, {**ROWS[1], "id": "other", "label": "a"}]
    )
    write(tmp_path / "test.jsonl", [{"id": "x", "text": "TEXT  number 2", "label": "a"}])
    _, findings = inspect(str(tmp_path))
    assert findings["duplicates"].ids == ("0", "same", "2", "x")
    assert findings["duplicates"].count == 2
    assert findings["conflicting_labels"].ids == ("1", "other")
    assert findings["shared_texts"].ids == ("2", "x")
    assert "1 in train and test" in findings["shared_texts"].message


@pytest.mark.parametrize(
    "header", ["text,label", "label,text", "id,label,text,source", "id,title,text,label"]
)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_rows_inside_a_text_with_an_unclosed_quote(tmp_path, header, delimiter, capsys):
    names = header.split(",")
    rows = [
        dict.fromkeys(names, f"x{at}") | {"text": f"news {at}", "label": "ab"[at % 2]} for at in range(40)
    ]
    rows[10]["text"] = '"Big news today'
    rows[20]["text"] = 'a screen of 24"'
    lines = [names, *([row[name] for name in names] for row in rows)]
    path = tmp_path / "d.csv"
    path.write_text("".join(delimiter.join(line) + "\n" for line in lines))
    inspection, findings = inspect(str(path), label_column="label", text_column="text")
    finding = findings["rows_inside_texts"]
    assert inspection.rows_read == 30 and not inspection.errors
    assert finding.severity == "warning" and finding.count == 1 and "d.csv, line 12)" in finding.message
    load_dataset(DataConfig(source=str(path)), TaskConfig(), seed=1)
    assert f"Warning: {finding.message}." in capsys.readouterr().err


def test_texts_of_several_lines_contain_no_rows(tmp_path):
    texts = ["Dear Sir,\nthank you", "a, b\nc, d", "Hello\nyes, a", "well, c\nno", "a\n", "\nx,b\n", "\t\n"]
    rows = [*ROWS, *({"id": f"n{at}", "text": text, "label": "a"} for at, text in enumerate(texts))]
    for header in (["text", "label"], ["label", "text"]):
        path = tmp_path / "d.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, header, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        inspection, findings = inspect(str(path))
        assert inspection.rows_read == 47 and "rows_inside_texts" not in findings


def test_labels(tmp_path):
    odd = [{"id": f"n{at}", "text": f"odd {at}", "label": "N/A"} for at in range(3)]
    write(tmp_path / "train.jsonl", [*ROWS, *odd])
    write(tmp_path / "test.jsonl", [{"id": "x", "text": "new", "label": "new"}])
    _, findings = inspect(str(tmp_path))
    assert findings["unseen_labels"].ids == ("x",)
    assert "'N/A' (3)" in findings["rare_labels"].message
    assert findings["placeholder_labels"].ids == ("n0", "n1", "n2")


def test_long_texts(tmp_path):
    rows = [*ROWS, {"id": "long", "text": "word " * 500, "label": "a"}]
    source = write(tmp_path / "d.jsonl", rows)
    assert inspect(source)[1]["long_texts"].ids == ("long",)
    finding = inspect(source, count_tokens=lambda text: len(text.split()), max_text_tokens=499)[1][
        "long_texts"
    ]
    assert finding.severity == "info" and "499" in finding.message


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("", "unreadable"),
        ("one,two\n1,2\n3,4\n", "columns"),
        ("text,label\nx,a\ny,a\n", "label_set"),
        ("text,label\nx,\ny,\n", "no_rows"),
    ],
)
def test_unusable_files_are_findings(tmp_path, content, kind):
    path = tmp_path / "d.csv"
    path.write_text(content)
    _, findings = inspect(str(path))
    assert findings[kind].severity == "error"
    with pytest.raises(DataError):
        load_dataset(DataConfig(source=str(path)), TaskConfig(), seed=1)


@pytest.mark.parametrize("name", ["b\0", "\ud800"])
def test_a_column_name_that_is_not_readable_is_refused(tmp_path, name):
    source = write(tmp_path / "d.jsonl", [{**row, name: 1} for row in ROWS])
    _, findings = inspect(source)
    assert findings["unreadable"].message.startswith("Column names are not readable as text: ")
    with pytest.raises(DataError, match="Column names are not readable"):
        load_dataset(DataConfig(source=source), TaskConfig(), seed=1)


def test_hardly_a_label(tmp_path):
    rows = [{"text": f"some text {at}", "label": f"l{at}"} for at in range(40)]
    assert "many_labels" in inspect(write(tmp_path / "d.jsonl", rows))[1]


def test_labels_that_look_alike_are_pointed_out(tmp_path):
    odd = ["a\u200b", "A", "b"]
    rows = [*ROWS, *({"id": f"n{at}", "text": f"odd {at}", "label": label} for at, label in enumerate(odd))]
    inspection, findings = inspect(write(tmp_path / "d.jsonl", rows))
    finding = findings["labels_alike"]
    assert finding.message == (
        "Labels differ only by invisible characters and case: 'A' (1), 'a' (20), 'a\\u200b' (1)"
    )
    assert set(finding.ids) == {"n0", "n1"} and finding.severity == "warning" and not inspection.errors


def test_an_unknown_label_that_looks_like_a_known_one_says_why_it_is_unknown(tmp_path):
    source = write(tmp_path / "d.jsonl", [*ROWS, {"id": "x", "text": "odd", "label": "cafe\u0301"}])
    with pytest.raises(DataError, match=r"Unicode form: 'caf\\xe9', 'cafe\\u0301'"):
        load_dataset(DataConfig(source=source), TaskConfig(labels=["a", "b", "caf\u00e9"]), seed=1)


def test_whole_numbers_are_said_and_can_be_kept(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("text,label\n" + "".join(f"t{at},{at % 2}.0\n" for at in range(40)))
    inspection, findings = inspect(str(path))
    assert findings["whole_numbers"].message == "Labels 0.0, 1.0 read as 0, 1, as whole numbers"
    assert inspection.inferred["label_numbers"] == "0.0, 1.0 read as 0, 1"
    inspection, findings = inspect(str(path), ["0.0", "1.0"])
    assert "whole_numbers" not in findings and set(inspection.label_counts()) == {"0.0", "1.0"}


@pytest.mark.parametrize("column", ["reasoning", "Rationale", "EXPLANATION"])
def test_a_column_of_reasonings_is_recognised(tmp_path, column):
    rows = [{**row, column: "because"} if at % 2 else row for at, row in enumerate(ROWS)]
    source = write(tmp_path / "d.jsonl", rows)
    inspection, findings = inspect(source)
    found = findings["own_reasonings"]
    assert (inspection.reasoning_column, found.severity) == (column, "info")
    assert 0 < found.count < 20 and f"for {found.count} of 29 train rows" in found.message
    assert found.fix.endswith(f"data.reasoning_column={column}")
    named, findings = inspect(source, reasoning_column=column)
    assert named.to_json()["reasoning_column"] == column and not findings["own_reasonings"].fix


def test_numbers_are_not_recognised_as_reasonings(tmp_path):
    inspection, findings = inspect(write(tmp_path / "d.jsonl", [{**row, "reasoning": 3} for row in ROWS]))
    assert inspection.reasoning_column is None and not findings


@pytest.mark.parametrize(("bad_rows", "severity"), [("error", "error"), ("drop", "info")])
def test_reasonings_that_cannot_be_read_are_found(tmp_path, bad_rows, severity):
    source = write(
        tmp_path / "d.jsonl", [{**row, "why": ["x"] if at else "y"} for at, row in enumerate(ROWS)]
    )
    _, findings = inspect(source, reasoning_column="why", bad_rows=bad_rows)
    assert findings["unreadable_reasoning"].severity == severity
    assert len(findings["unreadable_reasoning"].ids) >= 28
