import dataclasses

import pytest

from whylabel.types import Dataset, Dropped, Example, FilterResult, ReasonedExample

ROW = ReasonedExample("1", "text", "joy", "because")


def test_counts_come_most_frequent_first_then_by_name():
    reasons = ["too short", "copy", "empty", "copy", "empty", "too long"]
    counts = FilterResult((ROW,), tuple(Dropped(ROW, reason) for reason in reasons)).counts()
    assert list(counts.items()) == [("copy", 2), ("empty", 2), ("too long", 1), ("too short", 1)]
    assert sum(counts.values()) == len(reasons)


def test_counts_of_nothing():
    assert FilterResult((ROW,), ()).counts() == {}


def test_a_reasoned_example_knows_its_example():
    assert ROW.example == Example("1", "text", "joy")


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ROW.label = "fear"


def test_splits_come_in_order():
    example = Example("1", "text", "joy")
    assert Dataset((example,)).splits() == {"train": (example,), "validation": (), "test": ()}
