"""Splits without labels are set aside, whatever is in place of their labels; each cure that is offered works."""

import csv
import json

import pytest

from whylabel.data import inspect_dataset, load_dataset
from whylabel.errors import DataError
from whylabel.recipe import DataConfig, TaskConfig

TRAIN = [{"text": f"text {at}", "label": at % 2} for at in range(40)]
NEW = [f"new {at}" for at in range(6)]


def write(folder, split, rows):
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def load(folder, labels=None, **settings):
    config = DataConfig(source=str(folder), **settings)
    task = TaskConfig(labels=labels, type=settings.pop("type", "single_label"))
    return load_dataset(config, task, seed=1)


def texts(part):
    return {row.text for row in part}


UNLABELLED = {
    "-1": [{"text": text, "label": -1} for text in NEW],
    "-1 as text": [{"text": text, "label": "-1"} for text in NEW],
    "-1 as a number": [{"text": text, "label": -1.0} for text in NEW],
    "nothing": [{"text": text, "label": None} for text in NEW],
    "blanks": [{"text": text, "label": " "} for text in NEW],
    "-1 and nothing": [{"text": text, "label": -1 if at % 2 else None} for at, text in enumerate(NEW)],
    "-100": [{"text": text, "label": -100} for text in NEW],
    "words for nothing": [{"text": text, "label": ("nan", "None")[at % 2]} for at, text in enumerate(NEW)],
    "question marks": [{"text": text, "label": "?"} for text in NEW],
    "no column": [{"text": text, "topic": "x"} for text in NEW],
}


@pytest.mark.parametrize("rows", UNLABELLED.values(), ids=UNLABELLED)
@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("labels", [None, ["good", "bad"]])
@pytest.mark.parametrize("bad_rows", ["error", "drop"])
def test_a_split_without_labels_is_set_aside_and_said(tmp_path, capsys, rows, split, labels, bad_rows):
    write(tmp_path, "train", TRAIN)
    write(tmp_path, split, rows)
    data = load(tmp_path, labels, bad_rows=bad_rows)
    said = capsys.readouterr().err
    assert f"The {split} split ({tmp_path / f'{split}.jsonl'}) has no labels" in said
    assert f"its 6 rows are set aside, and {split} rows are cut from train" in said
    assert data.inferred[f"{split}_set_aside"] == "6 rows without labels"
    assert data.labels == tuple(labels or ("0", "1"))
    found = [row for part in data.splits().values() for row in part]
    assert texts(found) == texts_of(TRAIN) and all(data.splits().values())

    inspection = inspect_dataset(DataConfig(source=str(tmp_path)), TaskConfig(labels=labels), 1)
    (finding,) = [finding for finding in inspection.findings if finding.kind == "unlabelled_split"]
    assert (finding.severity, finding.count) == ("warning", 6) and not inspection.errors
    assert f"data.{split}" in finding.fix
    assert inspection.rows_read == sum(inspection.rows.values()) + inspection.rows_unusable == 46


def texts_of(rows):
    return {row["text"] for row in rows}


@pytest.mark.parametrize("rows", UNLABELLED.values(), ids=UNLABELLED)
def test_the_cure_works_labelled_rows_in_another_file(tmp_path, rows):
    write(tmp_path, "train", TRAIN)
    write(tmp_path, "test", rows)
    (tmp_path / "more").mkdir()
    write(tmp_path / "more", "gold", [{"text": text, "label": at % 2} for at, text in enumerate(NEW)])
    data = load(tmp_path, test=str(tmp_path / "more" / "gold.jsonl"))
    assert texts(data.test) == set(NEW)
    assert "test_set_aside" not in data.inferred and "data.test" in data.inferred["splits_replaced"]


def test_an_extra_file_without_labels_is_set_aside_too(tmp_path, capsys):
    write(tmp_path, "train", TRAIN)
    (tmp_path / "new.csv").write_text("text\n" + "".join(f"{text}\n" for text in NEW))
    data = load(tmp_path / "train.jsonl", test=str(tmp_path / "new.csv"))
    assert len(data.test) == 8 and "new.csv) has no labels" in capsys.readouterr().err


def test_minus_one_is_a_label_where_train_has_it_or_the_recipe_names_it(tmp_path):
    rows = [{"text": f"text {at}", "label": at % 3 - 1} for at in range(60)]
    write(tmp_path, "train", rows)
    for name in ("-1", "-1 as a number", "-1 as text"):
        write(tmp_path, "test", UNLABELLED[name])
        assert {row.label for row in load(tmp_path).test} == {"-1"}
    write(tmp_path, "train", TRAIN)
    assert {row.label for row in load(tmp_path, ["-1", "0", "1"]).test} == {"-1"}


def test_names_in_train_and_minus_one_in_test(tmp_path):
    write(tmp_path, "train", [{**row, "label": "ab"[row["label"]]} for row in TRAIN])
    write(tmp_path, "test", UNLABELLED["-1"])
    assert load(tmp_path).labels == ("a", "b")


def test_single_rows_without_a_label_are_bad_rows(tmp_path):
    write(tmp_path, "train", TRAIN)
    write(tmp_path, "test", [{"text": "labelled", "label": 1}, *UNLABELLED["nothing"]])
    with pytest.raises(DataError, match="6 without a label") as caught:
        load(tmp_path)
    assert "data.bad_rows=drop" in caught.value.fix
    assert texts(load(tmp_path, bad_rows="drop").test) == {"labelled"}


def test_train_is_never_set_aside(tmp_path):
    write(tmp_path, "train", UNLABELLED["nothing"])
    write(tmp_path, "test", TRAIN)
    with pytest.raises(DataError, match="6 without a label"):
        load(tmp_path)


def test_no_label_applies_is_a_label_of_its_own_kind(tmp_path):
    rows = [{"text": f"text {at}", "label": ["a", "b"][: at % 3]} for at in range(60)]
    write(tmp_path, "train", rows)
    write(tmp_path, "test", [{"text": text, "label": []} for text in NEW])
    config = DataConfig(source=str(tmp_path))
    data = load_dataset(config, TaskConfig(type="multi_label"), seed=1)
    assert texts(data.test) == set(NEW)
    write(tmp_path, "test", [{"text": text, "label": [-1]} for text in NEW])
    data = load_dataset(config, TaskConfig(type="multi_label"), seed=1)
    assert "test_set_aside" in data.inferred and data.labels == ("a", "b")


@pytest.mark.parametrize("other", ["labels", "gold", "Label", "target"])
def test_labels_under_another_name_are_no_split_without_labels(tmp_path, other):
    write(tmp_path, "train", TRAIN)
    write(tmp_path, "test", [{"text": text, other: at % 2} for at, text in enumerate(NEW)])
    with pytest.raises(DataError, match="Unknown column 'label'") as caught:
        load(tmp_path)
    assert (
        f"rename it in this file, so that all splits have the same columns; without the column '{other}'"
        in (caught.value.fix)
    )
    # Either cure works.
    write(tmp_path, "test", [{"text": text, "label": at % 2} for at, text in enumerate(NEW)])
    assert texts(load(tmp_path).test) == set(NEW)
    write(tmp_path, "test", [{"text": text} for text in NEW])
    assert "test_set_aside" in load(tmp_path).inferred


def test_a_text_under_another_name_is_refused_with_a_cure_that_works(tmp_path):
    write(tmp_path, "train", TRAIN)
    write(tmp_path, "test", [{"sentence": text, "label": 1} for text in NEW])
    with pytest.raises(DataError, match="Unknown column 'text'") as caught:
        load(tmp_path)
    assert "rename it in this file" in caught.value.fix and "data.test" in caught.value.fix


def test_ids_and_samples_of_train_are_those_of_train_alone(tmp_path):
    write(tmp_path, "train", TRAIN)
    alone = load(tmp_path)
    write(tmp_path, "test", UNLABELLED["-1"])
    assert load(tmp_path).splits() == alone.splits()


def test_a_csv_with_empty_cells(tmp_path):
    write(tmp_path, "train", TRAIN)
    with (tmp_path / "test.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *([text, ""] for text in NEW)])
    assert "test_set_aside" in load(tmp_path).inferred
