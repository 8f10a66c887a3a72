import csv
import json

import datasets
import numpy
import pandas
import pyarrow
import pytest
from pyarrow import parquet

from whylabel.data import dataset_from_frame, inspect_dataset, load_dataset
from whylabel.data.draft import draft_recipe
from whylabel.errors import DataError, LabelError
from whylabel.recipe import DataConfig, TaskConfig, load_recipe

SETS = [["joy"], ["love", "joy"], [], ["sad"], ["joy", "joy"]]
ROWS = [{"text": f"text number {at}", "labels": SETS[at % 5]} for at in range(50)]
EXPECTED = {"joy", "joy, love", "", "sad"}


def task(**settings):
    return TaskConfig(type="multi_label", **settings)


def written(path, rows):
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataConfig(source=str(path))


def labels_of(data):
    return {row.id: row.label for part in data.splits().values() for row in part}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_lists_are_joined_in_order_and_an_empty_one_says_that_none_applies(tmp_path, suffix):
    data = load_dataset(written(tmp_path / f"d{suffix}", ROWS), task(), seed=1)
    assert data.labels == ("joy", "love", "sad")
    assert set(labels_of(data).values()) == EXPECTED
    assert len(labels_of(data)) == 50
    declared = task(labels=["sad", "love", "joy"])
    data = load_dataset(written(tmp_path / f"d{suffix}", ROWS), declared, seed=1)
    assert data.labels == ("sad", "love", "joy") and "love, joy" in labels_of(data).values()


@pytest.mark.parametrize("separator", [",", "|", ";"])
def test_strings_are_taken_apart_at_the_separator(tmp_path, separator):
    rows = [
        {"id": at, "text": f"t {at}", "labels": f"love{separator} joy{separator}" if at % 2 else "sad"}
        for at in range(40)
    ]
    data = load_dataset(written(tmp_path / "d.csv", rows), task(label_separator=separator), seed=1)
    assert data.labels == ("joy", "love", "sad")
    assert len(set(labels_of(data).values())) == 2
    assert {part.strip() for part in labels_of(data)["1"].split(separator)} == {"joy", "love"}


def test_a_blank_cell_is_a_bad_row_and_an_empty_list_is_not(tmp_path, capsys):
    rows = [*ROWS, {"text": "none", "labels": None}, {"text": "blank", "labels": " , "}]
    config = written(tmp_path / "d.jsonl", rows)
    with pytest.raises(DataError, match="2 of 52 rows cannot be used: 2 without a label"):
        load_dataset(config, task(), seed=1)
    data = load_dataset(config.model_copy(update={"bad_rows": "drop"}), task(), seed=1)
    assert len(labels_of(data)) == 50
    assert "Left out 2 of 52 rows" in capsys.readouterr().err


def test_a_label_that_is_not_readable_as_text_is_a_bad_row(tmp_path):
    source = written(tmp_path / "d.jsonl", [*ROWS, {"text": "odd", "labels": ["a", "\ud800"]}])
    with pytest.raises(DataError, match="1 whose label is not readable as text"):
        load_dataset(source, task(), seed=1)


def test_integers_are_named_one_by_one(tmp_path):
    rows = [{"text": f"t {at}", "labels": [at % 3, 2]} for at in range(30)]
    named = task(labels=["anger", "joy", "love"])
    found = labels_of(load_dataset(written(tmp_path / "d.parquet", rows), named, seed=1))
    assert set(found.values()) == {"anger, love", "joy, love", "love"}
    rows = [{"text": f"t {at}", "labels": f"{at % 3},2"} for at in range(30)]
    found = labels_of(load_dataset(written(tmp_path / "d.csv", rows), named, seed=1))
    assert set(found.values()) == {"anger, love", "joy, love", "love"}
    unnamed = load_dataset(written(tmp_path / "d.csv", rows), task(), seed=1)
    assert unnamed.labels == ("0", "1", "2") and "0, 2" in labels_of(unnamed).values()


def test_the_hubs_class_names_are_those_of_the_items(tmp_path, monkeypatch):
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "labels": datasets.Sequence(datasets.ClassLabel(names=["anger", "joy"])),
        }
    )
    content = {
        "text": [f"t {at}" for at in range(20)],
        "labels": [[0, 1] if at % 2 else [1] for at in range(20)],
    }
    split = datasets.Dataset.from_dict(content, features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: datasets.DatasetDict({"train": split}))
    data = load_dataset(DataConfig(source="hub:a/b"), task(), seed=1)
    assert set(labels_of(data).values()) == {"anger, joy", "joy"}
    split.to_parquet(str(tmp_path / "d.parquet"))
    found = load_dataset(DataConfig(source=str(tmp_path / "d.parquet")), task(), seed=1)
    assert labels_of(found) == labels_of(data)


def test_a_frame_may_hold_lists_arrays_and_sets():
    cells = [["b", "a"], ("a",), {"b"}, numpy.array(["a", "b"])] * 10
    frame = pandas.DataFrame({"text": [f"t {at}" for at in range(40)], "labels": cells})
    data = dataset_from_frame(frame, DataConfig(label_column="labels", text_column="text"), task(), seed=1)
    assert set(labels_of(data).values()) == {"a, b", "a", "b"}


def test_a_label_outside_the_set_is_named_alone(tmp_path):
    rows = [*ROWS, {"text": "x", "labels": ["joy", "angst"]}]
    with pytest.raises(LabelError, match="Unknown label 'angst'"):
        load_dataset(written(tmp_path / "d.jsonl", rows), task(labels=["joy", "love", "sad"]), seed=1)


def test_what_is_no_list_of_labels_is_refused(tmp_path):
    for cell in ({"joy": 1}, [["joy"]], ["joy", None]):
        rows = [*ROWS, {"text": "x", "labels": cell}]
        with pytest.raises(DataError):
            load_dataset(written(tmp_path / "d.jsonl", rows), task(), seed=1)
    rows = [*ROWS, {"text": "x", "labels": {"joy": 1}}]
    with pytest.raises(LabelError, match="an object, or a list in a list, as their labels"):
        load_dataset(written(tmp_path / "d.jsonl", rows), task(), seed=1)


def test_a_label_that_contains_the_separator_is_refused(tmp_path):
    rows = [*ROWS, {"text": "x", "labels": ["joy, mild"]}]
    config = written(tmp_path / "d.jsonl", rows)
    with pytest.raises(LabelError, match="'joy, mild' contains the separator") as caught:
        load_dataset(config, task(), seed=1)
    assert "task.label_separator" in caught.value.fix
    data = load_dataset(config, task(label_separator="|"), seed=1)
    assert "joy | love" in labels_of(data).values() and "joy, mild" in data.labels


def test_a_list_is_still_refused_where_each_text_has_one_label(tmp_path):
    with pytest.raises(LabelError, match="have a list or an object as their label") as caught:
        load_dataset(written(tmp_path / "d.jsonl", ROWS), TaskConfig(), seed=1)
    assert "task.type: multi_label" in caught.value.fix


def test_splits_and_samples_hold_rare_labels_not_rare_sets(tmp_path):
    # 120 rows in 40 different sets; every row has one of three labels that are rarer than all others.
    rows = [
        {
            "id": at,
            "text": f"t {at}",
            "labels": [f"rare {at % 3}", *(f"often {bit}" for bit in range(5) if at >> bit & 1)],
        }
        for at in range(120)
    ]
    config = written(tmp_path / "d.jsonl", rows).model_copy(update={"train_rows": 12, "test_rows": 9})
    data = load_dataset(config, task(labels=None), seed=1)
    for part, each in ((data.train, 4), (data.test, 3)):
        rare = [row.label.split(", ")[-1] for row in part]
        assert sorted(rare) == sorted(f"rare {kind}" for kind in range(3) for _ in range(each))


@pytest.mark.parametrize("settings", [{}, {"train_rows": 20}, {"train_rows_per_label": 3}])
def test_what_is_drawn_from_train_does_not_depend_on_test(tmp_path, settings):
    labels = [["a", "b"], ["b", "c"], ["a", "c"], ["a", "b", "c"], ["b"]]
    rows = [{"text": f"train {at}", "labels": labels[at * at % 5]} for at in range(80)]
    written(tmp_path / "train.jsonl", rows)
    found = []
    for label in "abc":
        written(tmp_path / "test.jsonl", [{"text": f"test {at}", "labels": [label]} for at in range(99)])
        config = DataConfig(source=str(tmp_path), **settings)
        found.append(load_dataset(config, task(labels=["a", "b", "c"]), seed=1))
    assert found[0].train == found[1].train == found[2].train
    assert found[0].validation == found[1].validation == found[2].validation


def test_inspect_counts_every_label_and_recognises_lists(tmp_path):
    config = written(tmp_path / "d.jsonl", ROWS)
    found = inspect_dataset(config, None, 1)
    assert found.task.type == "multi_label" and "labels" in found.inferred["task_type"]
    assert found.label_counts() == {"joy": 30, "love": 10, "sad": 10}
    assert sum(found.rows.values()) == 50
    assert not found.errors
    assert found.to_json()["task_type"] == "multi_label"
    assert inspect_dataset(config, TaskConfig(), 1).errors[0].kind == "several_labels"


def test_inspect_finds_rare_and_unknown_labels_inside_sets(tmp_path):
    rows = [*ROWS, {"text": "x", "labels": ["joy", "angst"]}, {"text": "y", "labels": ["love", "null"]}]
    config = written(tmp_path / "d.jsonl", rows)
    kinds = {finding.kind: finding for finding in inspect_dataset(config, task(), 1).findings}
    assert "'angst' (1)" in kinds["rare_labels"].message or "'angst'" in kinds["unseen_labels"].message
    known = inspect_dataset(config, task(labels=["joy", "love", "sad", "null"]), 1)
    unknown = next(finding for finding in known.findings if finding.kind == "unknown_label")
    assert ": 'angst' (" in unknown.message


def test_init_drafts_a_recipe_that_loads(tmp_path):
    rows = [{"text": row["text"], "labels": [*row["labels"], "so, so"]} for row in ROWS]
    config = written(tmp_path / "d.jsonl", rows)
    inspection = inspect_dataset(config, None, 13)
    path = tmp_path / "d.yaml"
    path.write_text(draft_recipe(inspection, config, name="d"), encoding="utf-8")
    recipe = load_recipe(path)
    assert (recipe.task.type, recipe.task.label_separator) == ("multi_label", ";")
    assert recipe.task.labels == ["joy", "love", "sad", "so, so"]
    assert recipe.classifier.target == "label"
    assert load_dataset(recipe.data, recipe.task, seed=1).labels == ("joy", "love", "sad", "so, so")


# -- lists that stand in a cell as text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelt",
    [
        str,
        json.dumps,
        lambda names: str(numpy.array(names, dtype=object)),
        lambda names: str({name: name in names for name in ("joy", "love", "sad")}),
        lambda names: json.dumps({"choices": names}),
        lambda names: f"[{', '.join(names)}]",
        lambda names: f"{{{','.join(names)}}}",
    ],
    ids=["pandas", "json", "numpy", "object", "label studio", "java", "postgres"],
)
def test_lists_that_are_spelt_as_text_are_lists(tmp_path, spelt):
    rows = [{"id": row["text"], **row, "labels": spelt(row["labels"])} for row in ROWS]
    config = written(tmp_path / "d.csv", rows)
    data = load_dataset(config, task(), seed=1)
    assert data.labels == ("joy", "love", "sad")
    assert set(labels_of(data).values()) == EXPECTED and len(labels_of(data)) == 50
    found = inspect_dataset(config, None, 1)
    assert found.task.type == "multi_label" and not found.errors
    with pytest.raises(LabelError, match="have a list or an object as their label") as caught:
        load_dataset(config, TaskConfig(), seed=1)
    assert "task.type: multi_label" in caught.value.fix
    assert inspect_dataset(config, TaskConfig(), 1).errors[0].kind == "several_labels"


def test_a_list_with_a_missing_label_or_a_list_in_it_is_refused(tmp_path):
    for cell, message in (("['joy', nan]", "1 without a label"), ("[['joy'], ['sad']]", "a list in a list")):
        rows = [*({**row, "labels": str(row["labels"])} for row in ROWS), {"text": "x", "labels": cell}]
        with pytest.raises(DataError, match=message):
            load_dataset(written(tmp_path / "d.csv", rows), task(), seed=1)


@pytest.mark.parametrize(
    "names", [["[0, 10]", "[10, 20]"], ["(0, 10]", "(10, 20]"], ["[spam]", "[ham]"], ["{a}", "b, c"]]
)
def test_labels_in_brackets_are_labels(tmp_path, names):
    rows = [{"text": f"t {at}", "label": names[at % 2]} for at in range(40)]
    assert set(load_dataset(written(tmp_path / "d.csv", rows), TaskConfig(), seed=1).labels) == set(names)
    assert inspect_dataset(written(tmp_path / "d.csv", rows), None, 1).task.type == "single_label"


def test_a_label_that_looks_like_a_list_can_be_declared(tmp_path):
    names = ["['a']", "['b']"]
    rows = [{"text": f"t {at}", "label": names[at % 2]} for at in range(40)]
    with pytest.raises(LabelError) as caught:
        load_dataset(written(tmp_path / "d.csv", rows), TaskConfig(), seed=1)
    assert "belongs in task.labels" in caught.value.fix
    data = load_dataset(written(tmp_path / "d.csv", rows), TaskConfig(labels=names), seed=1)
    assert data.labels == tuple(names)
