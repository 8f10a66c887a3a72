import json

import pytest

from whylabel.data import load_dataset
from whylabel.errors import DataError
from whylabel.recipe import DataConfig, TaskConfig
from whylabel.types import Dataset, Example

EXPECTED = [Example(str(at), f"text number {at}", "ab"[at % 2]) for at in range(3000)]


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for split, rows in (("train", EXPECTED), ("validation", EXPECTED[:2]), ("test", EXPECTED[:2])):
        lines = (json.dumps({"id": row.id, "text": row.text, "label": row.label}) for row in rows)
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return load_dataset(DataConfig(source=str(folder)), TaskConfig(), seed=1).train


def test_it_is_what_was_read(examples):
    assert len(examples) == 3000
    assert list(examples) == EXPECTED
    # Twice, and one inside the other: every loop begins at the start.
    first, second = iter(examples), iter(examples)
    assert [next(first), next(second), next(first)] == [EXPECTED[0], EXPECTED[0], EXPECTED[1]]
    assert list(reversed(examples)) == EXPECTED[::-1]


@pytest.mark.parametrize("place", [0, 1, 1023, 1024, 2999, -1, -3000])
def test_one_row(examples, place):
    assert examples[place] == EXPECTED[place]


@pytest.mark.parametrize("place", [3000, -3001])
def test_no_such_row(examples, place):
    with pytest.raises(IndexError):
        examples[place]


@pytest.mark.parametrize(
    "part",
    [
        slice(None),
        slice(1000, 1100),
        slice(-5, None),
        slice(0, 3000, 700),
        slice(None, None, -1),
        slice(2990, 9999),
        slice(5, 5),
    ],
)
def test_a_slice_is_a_tuple(examples, part):
    assert examples[part] == tuple(EXPECTED[part])


def test_equality_is_that_of_the_content(examples):
    assert examples == EXPECTED and tuple(EXPECTED) == examples and examples == examples[:]
    assert examples != EXPECTED[:-1]
    assert examples != [*EXPECTED[:-1], Example("2999", "another text", "b")]
    assert examples != "examples" and examples != 3000
    assert Dataset(examples) == Dataset(tuple(EXPECTED))


def test_what_a_sequence_can_do(examples):
    assert EXPECTED[2500] in examples and Example("x", "y", "z") not in examples
    assert examples.index(EXPECTED[1500]) == 1500
    assert bool(examples)


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "data.csv"
    lines = [f"{at},text number {at},{'ab'[at % 2]},{'' if at == 3 else at * 10}" for at in range(40)]
    file.write_text("\n".join(["id,text,label,size", *lines, "40,,a,7"]) + "\n")
    return file


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_cells_of_any_column_are_those_of_the_rows(table, split):
    dataset = load_dataset(DataConfig(source=str(table), bad_rows="drop"), TaskConfig(), seed=1)
    rows = dataset.splits()[split]
    assert rows.columns == ("id", "text", "label", "size") and len(rows) > 1
    size = rows.cells("size")
    assert size == [None if row.id == "3" else str(int(row.id) * 10) for row in rows] or [
        cell or None for cell in size
    ] == [None if row.id == "3" else str(int(row.id) * 10) for row in rows]
    assert rows.cells("label") == [row.label for row in rows]


def test_cells_of_splits_in_several_files(tmp_path):
    for split, first in (("train", 0), ("validation", 20), ("test", 30)):
        lines = (
            json.dumps({"text": f"text {at}", "label": "ab"[at % 2], "topic": f"t{at}"})
            for at in range(first, first + 8)
        )
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    test = load_dataset(DataConfig(source=str(tmp_path), test_rows=5), TaskConfig(), seed=1).test
    assert [f"text {topic[1:]}" for topic in test.cells("topic")] == [row.text for row in test]
    assert test.cells("nothing") == [None] * 5


def test_data_that_has_changed_is_refused(table):
    dataset = load_dataset(DataConfig(source=str(table), bad_rows="drop"), TaskConfig(), seed=1)
    table.write_text(table.read_text().replace("text number", "other text"))
    with pytest.raises(DataError, match="has changed"):
        dataset.test.cells("size")
