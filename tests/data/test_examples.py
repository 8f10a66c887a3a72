import json

import pytest

from whylabel.data import load_dataset
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
