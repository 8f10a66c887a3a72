import pytest

from whylabel.data.sources import read_source, read_splits
from whylabel.errors import DataError
from whylabel.recipe import DataConfig

CSV = "text,label\nhi,a\nho,b\n"


def test_single_file_is_train(tmp_path):
    (tmp_path / "d.csv").write_text(CSV)
    assert list(read_splits(str(tmp_path / "d.csv")).streams) == ["train"]


@pytest.mark.parametrize("validation", ["validation", "valid", "dev", "val"])
def test_folder_with_split_files_of_several_formats(tmp_path, validation):
    (tmp_path / "train.csv").write_text(CSV)
    (tmp_path / f"{validation}.jsonl").write_text('{"text": "x", "label": "a"}\n')
    (tmp_path / "test.tsv").write_text("text\tlabel\ny\tb\n")
    (tmp_path / "README.md").write_text("read me")
    streams = read_splits(str(tmp_path)).streams
    assert {split: len(stream.whole()) for split, stream in streams.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }


def test_table_files_that_are_no_split_are_said(tmp_path):
    for name in ("train.csv", "test_2.csv", "test_set.tsv", "notes.md"):
        (tmp_path / name).write_text(CSV)
    source = read_splits(str(tmp_path))
    assert list(source.streams) == ["train"]
    assert source.inferred == {"splits_left_out": "test_2.csv, test_set.tsv"}


def test_shards_of_a_split_are_joined(tmp_path):
    for shard in range(2):
        (tmp_path / f"train-0000{shard}-of-00002.csv").write_text(CSV)
    train = read_splits(str(tmp_path)).streams["train"].whole()
    assert train.columns["text"] == ["hi", "ho"] * 2
    assert train.place(2) == f"{tmp_path} train, row 3"


def test_shards_that_count_from_1_are_joined(tmp_path):
    for shard in (1, 2):
        (tmp_path / f"train-{shard}-of-2.csv").write_text(CSV)
    assert len(read_splits(str(tmp_path)).streams["train"].whole()) == 4


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        ([0, 2], "train-00001-of-00003."),
        ([0], "train-00001-of-00003, train-00002-of-00003."),
        ([1, 3], "train-00002-of-00003."),
    ],
)
def test_shards_that_are_missing_are_named(tmp_path, present, missing):
    for shard in present:
        (tmp_path / f"train-{shard:05}-of-00003.csv").write_text(CSV)
    with pytest.raises(DataError, match="Files of the train split are missing") as caught:
        read_splits(str(tmp_path))
    assert caught.value.what.endswith(f": {missing}")


@pytest.mark.parametrize("other", ["train-00000-of-00001.csv", "train-00000-of-00002.tsv", "train.csv"])
def test_shards_of_two_sets_are_refused(tmp_path, other):
    for name in ("train-00000-of-00002.csv", "train-00001-of-00002.csv", other):
        (tmp_path / name).write_text(CSV)
    with pytest.raises(DataError, match="Several files are the train split"):
        read_splits(str(tmp_path))


def test_two_files_for_one_split(tmp_path):
    (tmp_path / "train.csv").write_text(CSV)
    (tmp_path / "train.tsv").write_text("text\tlabel\ny\tb\n")
    with pytest.raises(DataError, match=r"Several files are the train split: train\.csv, train\.tsv"):
        read_splits(str(tmp_path))


def test_folder_without_split_files_says_what_it_holds(tmp_path):
    (tmp_path / "tickets.csv").write_text(CSV)
    with pytest.raises(DataError, match=r"no train file.*tickets\.csv"):
        read_splits(str(tmp_path))


def test_extra_files(tmp_path):
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text(CSV)
    config = DataConfig(
        source=str(tmp_path / "a.csv"), validation=str(tmp_path / "b.csv"), test=str(tmp_path / "c.csv")
    )
    assert list(read_source(config).streams) == ["train", "validation", "test"]


def test_an_extra_file_replaces_a_split_that_is_there(tmp_path):
    (tmp_path / "train.csv").write_text(CSV)
    (tmp_path / "test.csv").write_text("text,label\n")  # it could not even be read
    other = tmp_path / "other.csv"
    other.write_text("text,label\nnew,a\n")
    source = read_source(DataConfig(source=str(tmp_path), test=str(other)))
    assert source.streams["test"].whole().columns["text"] == ["new"]
    assert source.inferred["splits_replaced"] == f"test by data.test: {other}"
    assert source.inferred["splits_left_out"] == "other.csv"


def test_an_extra_file_replaces_a_builtin_split(tmp_path):
    (tmp_path / "other.csv").write_text("text,label\nnew,joy\n")
    source = read_source(DataConfig(source="builtin:emotions", validation=str(tmp_path / "other.csv")))
    assert source.streams["validation"].whole().columns["text"] == ["new"]
    assert "splits_replaced" in source.inferred


@pytest.mark.parametrize(
    ("source", "fix"),
    [
        ("none.csv", "check the path"),
        ("~nouser/none.csv", "check the path"),
        ("emotions", "builtin:emotions"),
        ("dair-ai/emotion", "hub:dair-ai"),
    ],
)
def test_nothing_there(source, fix):
    with pytest.raises(DataError, match="no such file") as caught:
        read_splits(source)
    assert fix in caught.value.fix


def test_unknown_builtin():
    with pytest.raises(DataError, match="Did you mean 'emotions'"):
        read_splits("builtin:emotion")
