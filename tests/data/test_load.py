import json
import subprocess
import sys
from dataclasses import replace

import datasets
import numpy
import pandas
import pytest

from whylabel.data import dataset_from_frame, fingerprint, load_dataset, load_reasoning
from whylabel.data.reasonings import examples_to_show
from whylabel.errors import DataError, LabelError
from whylabel.recipe import DataConfig, ReasonerConfig, TaskConfig
from whylabel.text.hashes import text_hash
from whylabel.types import Example

ROWS = [{"text": f"text number {at}", "label": "ab"[at % 2]} for at in range(40)]


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def source(tmp_path):
    return lambda rows, name="d.jsonl": write_rows(tmp_path / name, rows)


def load(source, labels=None, seed=1, limit=None, **settings):
    return load_dataset(
        DataConfig(source=source, **settings), TaskConfig(labels=labels), seed=seed, limit=limit
    )


def everything(data):
    return [example for part in data.splits().values() for example in part]


def test_importing_is_cheap():
    heavy = "{'pyarrow', 'pandas', 'datasets', 'numpy', 'sklearn', 'torch'}"
    code = f"import sys, whylabel.data; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_in_are_rows_out(source):
    data = load(source(ROWS))
    assert {example.text for example in everything(data)} == {row["text"] for row in ROWS}
    assert [len(part) for part in data.splits().values()] == [29, 3, 8]
    assert data.inferred["text_column"] == "text" and "stratified" in data.inferred["test"]


def test_texts_are_not_stripped_and_labels_are(source):
    data = load(source([{"text": "  a\n b ", "label": " x "}, {"text": "c", "label": "y"}]))
    assert data.train == (Example(data.train[0].id, "  a\n b ", "x"), Example(data.train[1].id, "c", "y"))


def test_ids_are_hashes_made_unique(source):
    data = load(source([*ROWS, ROWS[0], ROWS[0]]))
    ids = [example.id for example in everything(data)]
    assert len(set(ids)) == 42
    assert sum(id.endswith(("-2", "-3")) for id in ids) == 2
    assert everything(load(source(ROWS))) == everything(load(source(ROWS)))


def test_given_ids(source):
    rows = [{**row, "id": at} for at, row in enumerate(ROWS)]
    assert {example.id for example in everything(load(source(rows)))} == {str(at) for at in range(40)}


def test_duplicate_ids_are_refused(source):
    rows = [{**row, "id": at // 2} for at, row in enumerate(ROWS)]
    with pytest.raises(DataError, match="20 rows have an id that an earlier row has") as caught:
        load(source(rows))
    assert "line 2 (id 0)" in caught.value.where and "data.id_column" in caught.value.fix


def test_equal_ids_in_different_splits_are_fine(tmp_path):
    for split in ("train", "test"):
        rows = [{"id": at, "text": f"{split} {at}", "label": "ab"[at % 2]} for at in range(4)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert len(load(str(tmp_path)).test) == 4


BAD = [
    {"text": "", "label": "a"},
    {"text": "no label", "label": None},
    {"text": None, "label": ""},
    {"text": "half \ud83d a pair", "label": "b"},
    {"text": ["a", "list"], "label": "b"},
]


def test_bad_rows_are_an_error(source):
    with pytest.raises(DataError) as caught:
        load(source([*ROWS, *BAD]))
    assert caught.value.what == (
        "5 of 45 rows cannot be used: 2 without a text, 2 without a label, 2 whose text is not readable "
        "as text."
    )
    assert "line 41 (id " in caught.value.where and "line 45" in caught.value.where
    assert "data.bad_rows=drop" in caught.value.fix


def test_bad_rows_are_dropped_and_said(source, capsys):
    data = load(source([*ROWS, *BAD]), bad_rows="drop")
    assert len(everything(data)) == 40
    assert data.inferred["bad_rows"].startswith("5 of 45 left out: 2 without a text")
    said = capsys.readouterr()
    assert "Left out 5 of 45 rows" in said.err and not said.out


def test_labels_and_ids_that_are_not_readable_are_bad_rows(source, capsys):
    odd = [{"id": "1", "text": "x", "label": "a\0"}, {"id": "\ud800", "text": "y", "label": "a"}]
    data = load(source([*ROWS, *odd]), labels=("a", "b"), bad_rows="drop")
    assert len(everything(data)) == 40
    assert data.inferred["bad_rows"] == (
        "2 of 42 left out: 1 whose label is not readable as text, 1 whose id is not readable as text"
    )
    capsys.readouterr().err.encode()


def test_nothing_left(source):
    with pytest.raises(DataError, match="no usable row"):
        load(source([{"text": "x", "label": None}] * 3), bad_rows="drop")


def test_unknown_label_names_the_row(source):
    with pytest.raises(LabelError, match=r"Unknown label 'joi'\. Did you mean 'joy'") as caught:
        load(source([{"text": "x", "label": "joy"}, {"text": "y", "label": "joi"}]), labels=["joy", "fear"])
    assert "line 2" in caught.value.where and "task.labels" in caught.value.fix


def test_several_labels_of_one_text(source):
    with pytest.raises(LabelError, match="list or an object"):
        load(source([{"text": "x", "label": ["a", "b"]}, {"text": "y", "label": ["a"]}]))


def test_one_label_is_no_label_set(source):
    with pytest.raises(LabelError, match="at least two"):
        load(source([{"text": "x", "label": "a"}, {"text": "y", "label": "a"}]))


@pytest.mark.parametrize("labels", [["sadness", "joy"], {"sadness": None, "joy": ""}])
def test_integers_with_names(source, labels):
    rows = [{"text": f"t{at}", "label": at % 2} for at in range(20)]
    data = load(source(rows), labels=labels)
    assert {example.label for example in everything(data)} == {"sadness", "joy"}
    assert "task.labels" in data.inferred["label_names"]


def test_integer_out_of_range_of_the_names(source):
    rows = [{"text": f"t{at}", "label": at % 3 + 1} for at in range(20)]
    with pytest.raises(LabelError, match="Unknown label '3'"):
        load(source(rows), labels=["a", "b", "c"])


def test_integral_floats_of_a_csv(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("text,label\n" + "".join(f"t{at},{at % 2}.0\n" for at in range(10)))
    assert {example.label for example in everything(load(str(path)))} == {"0", "1"}


def test_77_labels(source):
    rows = [{"text": f"text {at}", "intent": f"intent_{at % 77}"} for at in range(77 * 5)]
    data = load(source(rows))
    assert len({example.label for example in data.train}) == 77
    assert len(everything(data)) == 385


def test_limits(source):
    rows = [{"text": f"text {at}", "label": "ab"[at % 2]} for at in range(400)]
    data = load(source(rows), train_rows=100, test_rows=20)
    assert [len(part) for part in data.splits().values()] == [100, 32, 20]
    data = load(source(rows), train_rows=100, test_rows=20, limit=30)
    assert load(source(rows), train_rows=2, test_rows=1, validation_rows=1).labels == data.labels
    assert [len(part) for part in data.splits().values()] == [30, 30, 20]


def test_a_split_that_lacks_a_column(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\nx,a\ny,b\n")
    (tmp_path / "test.csv").write_text("text,labels\nx,a\n")
    with pytest.raises(DataError, match=r"Unknown column 'label'\. Did you mean 'labels'") as caught:
        load(str(tmp_path))
    assert "test.csv" in caught.value.where


def test_frame():
    frame = pandas.DataFrame(
        {
            "Customer says": [row["text"] for row in ROWS],
            "Intent Name": pandas.Categorical([row["label"] for row in ROWS]),
        },
        index=range(100, 140),
    )
    data = dataset_from_frame(frame, DataConfig(), TaskConfig(), seed=1)
    assert len(everything(data)) == 40
    assert data.inferred["label_column"] == "Intent Name"


def test_frame_with_missing_cells():
    frame = pandas.DataFrame({"text": ["a", None, "c"], "label": pandas.array([1, 2, None], dtype="Int64")})
    with pytest.raises(DataError, match="2 of 3 rows") as caught:
        dataset_from_frame(frame, DataConfig(), TaskConfig(), seed=1)
    assert "the DataFrame, row 2" in caught.value.where


def test_frame_with_a_column_twice_or_no_rows():
    frame = pandas.DataFrame([["a", "b"]], columns=["text", "text"])
    with pytest.raises(DataError, match="twice"):
        dataset_from_frame(frame, DataConfig(), TaskConfig(), seed=1)
    with pytest.raises(DataError, match="no rows"):
        dataset_from_frame(frame.iloc[:0, :1], DataConfig(), TaskConfig(), seed=1)


REASONING = [{"q": f"q{at // 2}", "answer": "a", "reasoning": f"because {at}"} for at in range(40)]


def test_reasoning_is_split_with_equal_questions_together(source, capsys):
    config = ReasonerConfig(data=source(REASONING), question_column="q", validation_rows=8)
    train, validation = load_reasoning(config, seed=1)
    assert (len(train), len(validation)) == (32, 8)
    assert not {row.question for row in train} & {row.question for row in validation}
    assert (train, validation) == load_reasoning(config, seed=1)
    assert not capsys.readouterr().err


def test_reasoning_rows_and_missing_fields(source, capsys):
    rows = [*REASONING, {"q": "x", "answer": None, "reasoning": "r"}, {"q": "x", "answer": "y"}]
    config = ReasonerConfig(data=source(rows), question_column="q", rows=5)
    train, validation = load_reasoning(config, seed=1)
    assert (len(train), len(validation)) == (5, 10)
    said = capsys.readouterr().err
    assert "Left out 2 of 42 rows" in said and "10 validation rows" in said


def test_reasoning_with_a_missing_column(source):
    with pytest.raises(DataError, match="Unknown column 'question'") as caught:
        load_reasoning(ReasonerConfig(data=source(REASONING)), seed=1)
    assert "reasoner.question_column" in caught.value.where


# -- train depends on train rows alone ---------------------------------------------------------------------

TRAIN = [{"text": f"text {at % 50}", "label": "ab"[at % 2]} for at in range(60)]
OTHER = [
    [],
    [{"text": "text 1", "label": "a"}],
    [{"text": "text 1", "label": "a"}] * 3,
    [{"text": f"text {at % 20}", "label": "ab"[at % 2]} for at in range(40)],
]


@pytest.mark.parametrize("own", ["a.jsonl", "test.jsonl", "dev.jsonl", "hub"])
def test_train_is_the_same_whatever_other_splits_hold(tmp_path, monkeypatch, own):
    def train_split(extra):
        rows = [{"text": "another text", "label": "b"}, *extra, {"text": "the last", "label": "a"}]
        if own == "hub":
            splits = {"test": datasets.Dataset.from_list(rows), "train": datasets.Dataset.from_list(TRAIN)}
            monkeypatch.setattr(datasets, "load_dataset", lambda *_: datasets.DatasetDict(splits))
            return load("hub:a/b", validation_rows=5)
        folder = tmp_path / str(len(extra))
        folder.mkdir()
        write_rows(folder / "train.jsonl", TRAIN)
        write_rows(folder / own, rows)
        if own == "a.jsonl":
            return load(str(folder / "train.jsonl"), test=str(folder / own))
        return load(str(folder))

    found = [train_split(extra) for extra in OTHER]
    assert len({fingerprint(data.train) for data in found}) == 1
    assert len(found[0].train) >= 40
    for data in found:
        ids = [example.id for example in everything(data)]
        assert len(set(ids)) == len(ids)


def test_ids_of_train_stay_where_a_test_file_is_added_or_removed(tmp_path):
    write_rows(tmp_path / "train.jsonl", TRAIN)
    alone = {example.id: example for example in everything(load(str(tmp_path)))}
    write_rows(tmp_path / "test.jsonl", OTHER[3])
    data = load(str(tmp_path))
    assert {example.id for example in (*data.train, *data.validation)} == set(alone)
    assert all(alone[example.id] == example for example in data.train)


def test_ids_count_repeats_in_the_order_train_validation_test(tmp_path):
    for split in ("test", "validation", "train"):
        write_rows(tmp_path / f"{split}.jsonl", [{"text": "t", "label": "a"}, {"text": split, "label": "b"}])
    data = load(str(tmp_path))
    made = text_hash("t")
    assert [example.id for example in everything(data) if example.text == "t"] == [
        made,
        f"{made}-2",
        f"{made}-3",
    ]


def test_bad_rows_of_other_splits_change_no_id_of_train(tmp_path):
    write_rows(tmp_path / "train.jsonl", TRAIN)
    write_rows(tmp_path / "dev.jsonl", [{"text": "text 1", "label": None}, *TRAIN[2:6]])
    dropped = load(str(tmp_path), bad_rows="drop")
    write_rows(tmp_path / "dev.jsonl", TRAIN[2:6])
    assert dropped.train == load(str(tmp_path)).train


def test_versions_keep_their_text_in_every_split_and_format(tmp_path):
    versions = ["1.0", "1.1", "2.0", "2.1", "10.0"]
    rows = [{"text": f"text {at}", "label": versions[at % 5]} for at in range(60)]
    write_rows(tmp_path / "train.jsonl", [{**row, "label": float(row["label"])} for row in rows])
    pandas.DataFrame({"text": ["v"], "label": [2.0]}).to_parquet(tmp_path / "validation.parquet")
    (tmp_path / "test.csv").write_text("text,label\nx,1.0\ny,10.0\n")
    data = load(str(tmp_path))
    assert set(data.labels) == set(versions)
    assert [row.label for row in (*data.validation, *data.test)] == ["2.0", "1.0", "10.0"]


def test_one_split_with_other_than_whole_numbers_keeps_the_text_in_all(tmp_path):
    write_rows(tmp_path / "train.jsonl", [{"text": f"t{at}", "label": f"{at % 3}.0"} for at in range(30)])
    (tmp_path / "test.csv").write_text("text,label\nx,1.5\ny,1.0\n")
    data = load(str(tmp_path))
    assert set(data.labels) == {"0.0", "1.0", "2.0", "1.5"}
    (tmp_path / "test.csv").write_text("text,label\nx,1\ny,2\n")
    data = load(str(tmp_path))
    assert set(data.labels) == {"0", "1", "2"} and "0.0" in data.inferred["label_numbers"]


def test_numbers_of_32_bits_are_read_as_they_are_written(tmp_path):
    labels = numpy.array([1.0, 1.1, 2.3] * 20, dtype="float32")
    frame = pandas.DataFrame({"text": [f"text {at}" for at in range(60)], "label": labels})
    assert dataset_from_frame(frame, DataConfig(), TaskConfig(), seed=1).labels == ("1.0", "1.1", "2.3")
    frame.to_parquet(tmp_path / "d.parquet")
    assert load(str(tmp_path / "d.parquet")).labels == ("1.0", "1.1", "2.3")


def test_labels_that_a_recipe_names_without_decimals_stay_so(tmp_path):
    """So a recipe that `init` wrote for an older whylabel keeps the labels of its run."""
    rows = [{"text": f"text {at}", "label": ("1.0", "1.1", "2.0")[at % 3]} for at in range(60)]
    data = load(write_rows(tmp_path / "d.jsonl", rows), labels=["1", "1.1", "2"])
    assert data.labels == ("1", "1.1", "2") and "1.0, 2.0 read as 1, 2" in data.inferred["label_numbers"]


REASONED = [{**row, "why": f" it says number {at} "} if at % 2 else row for at, row in enumerate(ROWS)]


def test_train_rows_keep_the_reasoning_that_they_came_with(source):
    data = load(source(REASONED), reasoning_column="why")
    for row in data.train:
        at = int(row.text.split()[-1])
        assert row.reasoning == (f"it says number {at}" if at % 2 else "")
    count = sum(bool(row.reasoning) for row in data.train)
    others = 20 - count
    assert 0 < count < 20
    assert data.inferred["own_reasonings"] == (
        f"{count} of 29 train rows ({others} more in validation or test are not used)"
    )
    assert not [row for row in (*data.validation, *data.test) if row.reasoning]
    assert data.train[0:29] == tuple(data.train) and data.train[3].reasoning == list(data.train)[3].reasoning


def test_reasonings_change_neither_the_rows_nor_their_fingerprints(source):
    plain, reasoned = load(source(ROWS)), load(source(REASONED, "r.jsonl"), reasoning_column="why")
    ignored = load(source(REASONED, "r.jsonl"))
    for split, rows in plain.splits().items():
        assert list(rows) == list(reasoned.splits()[split]) == list(ignored.splits()[split])
        assert fingerprint(rows) == fingerprint(reasoned.splits()[split])
    assert not [row for row in ignored.train if row.reasoning]


@pytest.mark.parametrize("cell", [None, "", " \n", float("nan"), "n/a", " - ", "None"])
def test_empty_cells_are_no_reasonings(source, cell):
    rows = [{**row, "why": cell if at else "a reasoning"} for at, row in enumerate(ROWS)]
    data = load(source(rows), reasoning_column="why")
    assert sum(bool(row.reasoning) for row in everything(data)) <= 1


@pytest.mark.parametrize("cell", [["a", "list"], {"an": "object"}, 7, True, "half \ud83d", "nul \0"])
def test_a_cell_that_is_no_text_is_refused_or_taken_for_empty(source, cell, capsys):
    rows = [{**row, "why": cell if at == 3 else f"because {at}"} for at, row in enumerate(ROWS)]
    path = source(rows)
    test = source([{**row, "text": f"other {at}", "why": cell} for at, row in enumerate(ROWS)], "test.jsonl")
    files = {"test": test, "validation": test, "reasoning_column": "why"}
    with pytest.raises(DataError, match=r"^1 of 40 train rows have a reasoning that is not") as caught:
        load(path, **files)
    assert caught.value.where.startswith("column 'why': ") and "line 4" in caught.value.where
    data = load(path, bad_rows="drop", **files)
    assert [row.text for row in data.train if not row.reasoning] == ["text number 3"]
    assert "line 4" in capsys.readouterr().err


@pytest.mark.parametrize("settings", [{"train_rows": 60}, {"train_rows_per_label": 30}, {"limit": 60}])
def test_a_sample_keeps_the_rows_that_people_wrote_a_reasoning_for(source, settings):
    rows = [
        {
            "text": f"text number {at}",
            "label": ("joy", "fear")[at % 2],
            "why": f"as {at}" if at % 80 < 2 else "",
        }
        for at in range(800)
    ]
    test = source(ROWS, "test.jsonl")
    files = {"source": source(rows), "test": test, "validation": test, **settings}
    data = load(**files, reasoning_column="why")
    assert len(data.train) == 60
    assert {row.text for row in data.train if row.reasoning} == {row["text"] for row in rows if row["why"]}
    # Where the column is not named, it decides nothing.
    blank = source([{**row, "why": ""} for row in rows], "blank.jsonl")
    assert load(**files).train[:] == load(**{**files, "source": blank}).train[:]
    assert load(**files).train[:] == load(**{**files, "source": blank}, reasoning_column="why").train[:]


def test_which_validation_rows_are_drawn_does_not_depend_on_reasonings(source):
    test = source(REASONED, "test.jsonl")
    files = {"source": source(ROWS), "test": test, "validation": test, "validation_rows": 6, "test_rows": 6}
    reasoned = source(REASONED, "r.jsonl")
    plain, with_column = load(**files), load(**{**files, "source": reasoned}, reasoning_column="why")
    assert plain.validation[:] == with_column.validation[:] and plain.test[:] == with_column.test[:]


def test_a_reasoning_column_that_is_not_there(source):
    with pytest.raises(DataError, match=r"Did you mean 'why'") as caught:
        load(source(REASONED), reasoning_column="whi")
    assert "data.reasoning_column" in caught.value.where


@pytest.mark.parametrize("column", ["text", "label"])
def test_text_and_label_are_no_reasonings(source, column):
    with pytest.raises(DataError, match=f"both column '{column}'"):
        load(source(REASONED), reasoning_column=column, **{f"{column}_column": column})


def test_the_reasonings_do_not_compete_with_texts_and_labels(source):
    rows = [
        {"remark": row["text"], "kind": row["label"], "why": f"a much longer reasoning than text {at % 4}"}
        for at, row in enumerate(ROWS)
    ]
    data = load(source(rows), reasoning_column="why")
    assert (data.inferred["text_column"], data.inferred["label_column"]) == ("remark", "kind")


def test_reasonings_of_a_frame():
    frame = pandas.DataFrame(REASONED)
    data = dataset_from_frame(frame, DataConfig(reasoning_column="why"), TaskConfig(), seed=1)
    assert {bool(row.reasoning) for row in data.train} == {True, False}


def test_reasoning_rows_of_several_sources(source):
    settings = {"question_column": "q", "validation_rows": 3}
    pairs = [
        source(
            [{**row, "id": f"{name}{at}", "q": name + row["q"]} for at, row in enumerate(REASONING)],
            f"{name}.jsonl",
        )
        for name in "ab"
    ]
    train, held_out = load_reasoning(ReasonerConfig(data=pairs, **settings), seed=1)
    assert (len(train), len(held_out)) == (78, 2)
    assert {row.id for row in (*train, *held_out)} == {f"{name}{at}" for name in "ab" for at in range(40)}
    one = load_reasoning(ReasonerConfig(data=[pairs[0]], **settings), seed=1)
    assert one == load_reasoning(ReasonerConfig(data=pairs[0], **settings), seed=1)


def test_no_row_is_held_out_of_a_source_beside_one_with_a_validation_split(source):
    rows = [{"question": f"q{at}", "answer": "a", "reasoning": f"because {at}"} for at in range(12)]
    config = ReasonerConfig(data=["builtin:reasoning", source(rows)])
    train, held_out = load_reasoning(config, seed=1)
    builtin = load_reasoning(ReasonerConfig(data="builtin:reasoning"), seed=1)
    assert held_out == builtin[1]
    assert [row.question for row in train] == [row.question for row in builtin[0]] + [
        f"q{n}" for n in range(12)
    ]


def test_reasonings_to_show_are_the_first_of_each_label_in_turn():
    rows = [Example(str(at), f"text {at}", "aabc"[at % 4], "so" if at > 3 else "") for at in range(16)]
    assert [row.id for row in examples_to_show(rows, 5)] == ["4", "6", "7", "5", "10"]
    assert [row.id for row in examples_to_show(rows[:6], 5)] == ["4", "5"]
    assert examples_to_show(rows[:4], 5) == ()
    long = replace(rows[4], text="x" * 1001)
    assert [row.id for row in examples_to_show([long, *rows[5:]], 2)] == ["5", "6"]


def test_a_seed_of_its_own_keeps_the_same_test_rows(source):
    table = source([{"text": f"text {at}", "label": "ab"[at % 2]} for at in range(200)])
    splits = {
        (seed, own): load(table, seed=seed, split_seed=own, train_rows=50, test_rows=20, validation_rows=10)
        for seed, own in ((1, None), (2, None), (1, 7), (2, 7))
    }
    one, other = splits[1, 7], splits[2, 7]
    assert list(one.test) == list(other.test) and list(one.validation) == list(other.validation)
    assert len(one.test) == 20 and list(one.train) != list(other.train)
    assert list(splits[1, None].test) != list(splits[2, None].test)
    assert not {row.text for row in other.train} & {row.text for row in other.test}
