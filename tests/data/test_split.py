from collections import Counter
from itertools import chain, pairwise

import numpy
import pytest

import whylabel.data.split
from whylabel.data.cells import normalise_text
from whylabel.data.split import SplitKeys, balanced, first_equal
from whylabel.recipe import DataConfig
from whylabel.text.hashes import text_number
from whylabel.types import Example


class Keyed:
    """Examples with the arrays that splits are drawn by; turns row numbers back into examples."""

    def __init__(self, rows):
        self.rows = rows
        names = sorted({row.label for row in rows})
        labels = numpy.array([names.index(row.label) for row in rows], dtype=numpy.int32)
        texts = numpy.array([text_number(normalise_text(row.text)) for row in rows])
        self.keys = SplitKeys(labels, tuple(names), texts)
        self.numbers = numpy.arange(len(rows))

    def at(self, numbers):
        return [self.rows[number] for number in numbers]


def complete_splits(given, config, seed):
    keyed = Keyed(list(chain(*given.values())))
    ends = numpy.cumsum([len(rows) for rows in given.values()])[:-1]
    numbers = dict(zip(given, numpy.split(keyed.numbers, ends), strict=True))
    splits, inferred = whylabel.data.split.complete_splits(numbers, keyed.keys, config, seed)
    return {name: keyed.at(part) for name, part in splits.items()}, inferred


def cut(rows, fraction, seed):
    keyed = Keyed(rows)
    rest, taken = whylabel.data.split.cut(keyed.numbers, keyed.keys, fraction, seed)
    return keyed.at(rest), keyed.at(taken)


def subsample(rows, count, seed):
    keyed = Keyed(rows)
    return keyed.at(whylabel.data.split.subsample(keyed.numbers, keyed.keys, count, seed))


def examples(counts):
    return [
        Example(f"{label}-{at}", f"{label} text {at}", label)
        for label, count in counts.items()
        for at in range(count)
    ]


def labels(part):
    return Counter(example.label for example in part)


def test_given_splits_are_kept():
    given = {"train": examples({"a": 4}), "validation": examples({"b": 2}), "test": examples({"c": 3})}
    assert complete_splits(given, DataConfig(), 1) == (given, {})


def test_missing_splits_are_cut_from_train_in_proportion():
    rows = examples({"a": 100, "b": 50, "c": 50})
    splits, inferred = complete_splits({"train": rows}, DataConfig(), 1)
    assert {name: len(part) for name, part in splits.items()} == {"train": 144, "validation": 16, "test": 40}
    assert labels(splits["test"]) == {"a": 20, "b": 10, "c": 10}
    assert sorted(chain(*splits.values()), key=rows.index) == rows
    assert splits["train"] == sorted(splits["train"], key=rows.index)
    assert inferred["test"] == "40 of 200 train rows, stratified by label, seed 1"


def test_seed_decides():
    rows = examples({"a": 50, "b": 50})
    assert cut(rows, 0.2, 1) == cut(rows, 0.2, 1)
    assert cut(rows, 0.2, 1) != cut(rows, 0.2, 2)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_77_rare_labels(size):
    splits, _ = complete_splits({"train": examples({f"l{at}": size for at in range(77)})}, DataConfig(), 1)
    assert len(labels(splits["train"])) == 77
    assert sum(map(len, splits.values())) == 77 * size


def test_singletons_stay_in_train():
    rest, taken = cut(examples({"a": 1, "b": 1, "c": 50}), 0.5, 1)
    assert labels(rest) == {"a": 1, "b": 1, "c": 24}
    assert set(labels(taken)) == {"c"}


def test_equal_texts_stay_together():
    rows = [
        Example(str(at), f"{'Same' if at % 2 else ' same '} text {at // 4}", "ab"[at // 4 % 2])
        for at in range(80)
    ]
    rest, taken = cut(rows, 0.3, 1)
    assert taken
    assert not {row.text.strip().lower() for row in rest} & {row.text.strip().lower() for row in taken}


def test_subsample_keeps_order_and_proportion():
    rows = examples({"a": 80, "b": 20})
    drawn = subsample(rows, 10, 1)
    assert labels(drawn) == {"a": 8, "b": 2}
    assert drawn == sorted(drawn, key=rows.index)
    assert subsample(rows, None, 1) == subsample(rows, 100, 1) == rows


def test_subsample_has_every_label_where_it_fits():
    rows = examples({"common": 1000, **{f"rare{at}": 2 for at in range(76)}})
    assert len(labels(subsample(rows, 77, 1))) == 77
    assert len(subsample(rows, 5, 1)) == 5


def test_smaller_samples_nest_in_larger_ones():
    rows = examples({"a": 60, "b": 30, "c": 5, "d": 1})
    samples = [set(subsample(rows, count, 7)) for count in range(1, 97)]
    assert [len(sample) for sample in samples] == list(range(1, 97))
    assert all(small < large for small, large in pairwise(samples))


def test_the_first_of_equal_keys():
    assert first_equal(numpy.array([5, 7, 5, -1, 7, 7])).tolist() == [0, 1, 0, 3, 1, 1]
    assert first_equal(numpy.array([3, 2, 1])).tolist() == [0, 1, 2]
    assert first_equal(numpy.array([], dtype=numpy.int64)).tolist() == []


def test_as_many_rows_of_each_label_nested():
    rows = examples({"a": 60, "b": 30, "c": 3})
    keyed = Keyed(rows)
    samples = [keyed.at(balanced(keyed.numbers, keyed.keys, count, 7)) for count in (1, 8, 60)]
    assert [labels(drawn) for drawn in samples] == [
        {"a": 1, "b": 1, "c": 1},
        {"a": 8, "b": 8, "c": 3},
        {"a": 60, "b": 30, "c": 3},
    ]
    assert samples[2] == rows
    assert set(samples[0]) < set(samples[1])
    assert samples[1] == sorted(samples[1], key=rows.index)


@pytest.mark.parametrize("count", [1, 4, 10, 40, 90])
def test_rows_that_come_first_are_drawn_before_the_others_of_their_label(count):
    rows = examples({"a": 60, "b": 30, "c": 5})
    keyed = Keyed(rows)
    first = [3, 17, 40, 59, 61, 88]

    def samples(**more):
        split = whylabel.data.split
        return (
            split.subsample(keyed.numbers, keyed.keys, count, 7, **more),
            split.balanced(keyed.numbers, keyed.keys, count, 7, **more),
        )

    for drawn, plain in zip(samples(first=first), samples(), strict=True):
        # As many of each label as ever, and no row of a label while one that comes first is left.
        assert labels(keyed.at(drawn)) == labels(keyed.at(plain))
        for label, taken in labels(keyed.at(drawn)).items():
            wanted = {at for at in first if rows[at].label == label}
            assert len(wanted & set(drawn.tolist())) == min(taken, len(wanted))
    for drawn, plain in zip(samples(first=()), samples(), strict=True):
        assert drawn.tolist() == plain.tolist()


def test_samples_nest_where_rows_come_first():
    keyed = Keyed(examples({"a": 60, "b": 30, "c": 5}))
    draw = whylabel.data.split.subsample
    found = [
        set(draw(keyed.numbers, keyed.keys, count, 7, first=[5, 62, 94]).tolist()) for count in range(1, 95)
    ]
    assert all(small < large for small, large in pairwise(found))
