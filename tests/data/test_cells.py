import datetime
import decimal

import numpy
import pandas
import pytest

from whylabel.data.cells import LabelReader, integer_of, is_missing, normalise_text, text_of

NAMES = ["sadness", "joy", "love", "anger"]


@pytest.mark.parametrize("value", [None, float("nan"), numpy.nan, pandas.NA, pandas.NaT, "", " \n"])
def test_missing(value):
    assert is_missing(value)
    assert text_of(value) == ""


@pytest.mark.parametrize("value", [0, False, 0.0, "nan", "0", "None"])
def test_not_missing(value):
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  as it is\n", "  as it is\n"),
        (12, "12"),
        (1.5, "1.5"),
        (decimal.Decimal("1.50"), "1.50"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
    ],
)
def test_texts(value, text):
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (" joy ", "joy"),
        (True, "True"),
        (3, "3"),
        (3.0, "3"),
        ("3.0", "3"),
        (3.5, "3.5"),
        ("01", "01"),
        (numpy.int64(3), "3"),
        (numpy.float32(3), "3"),
        (None, None),
        (float("nan"), None),
        ("  ", None),
    ],
)
def test_labels_without_names(value, label):
    assert LabelReader([value], None, None).read(value) == label


@pytest.mark.parametrize("value", [3, 3.0, "3", "3.0", numpy.int32(3)])
def test_integers_with_declared_names(value):
    reader = LabelReader([value, None], None, NAMES)
    assert reader.named
    assert reader.read(value) == "anger"


def test_booleans_with_declared_names():
    reader = LabelReader([True, False], None, ["no", "yes"])
    assert [reader.read(True), reader.read(False)] == ["yes", "no"]


def test_declared_digits_stay_labels():
    reader = LabelReader([1, 2, 3], None, ["1", "2", "3"])
    assert [reader.read(value) for value in (1, "2", 3.0)] == ["1", "2", "3"]
    assert not reader.named


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["1.0", "1.1", "2.0", "2.1", "10.0"], ["1.0", "1.1", "2.0", "2.1", "10.0"]),
        ([1.0, 1.1, 2.0, 10.0, 10], ["1.0", "1.1", "2.0", "10", "10"]),
        (["2", "2.0", "2.00"], ["2", "2.0", "2.00"]),
        (["3.0", "3.0.1"], ["3.0", "3.0.1"]),
        (["1.0", "2.0", "beta"], ["1.0", "2.0", "beta"]),
        ([decimal.Decimal("1.0"), decimal.Decimal("1.1")], ["1.0", "1.1"]),
        # Whole numbers alone: what pandas makes of integers beside an empty cell.
        (["1", "2", "1.0", "2.0"], ["1", "2", "1", "2"]),
        ([1.0, None, 2.0], ["1", None, "2"]),
        (["-1.0", "0.0", "1.0"], ["-1", "0", "1"]),
        (["1.00", "2.00"], ["1", "2"]),
        ([decimal.Decimal("1.0"), decimal.Decimal("2.0")], ["1", "2"]),
    ],
)
def test_numbers_keep_their_text_unless_all_are_whole(cells, labels):
    reader = LabelReader(cells, None, None)
    assert [reader.read(cell) for cell in cells] == labels
    written = {str(cell): label for cell, label in zip(cells, labels, strict=True) if str(cell) != label}
    written.pop("None", None)
    assert reader.rewritten == written


@pytest.mark.parametrize(
    ("declared", "cells", "labels"),
    [
        (["1.0", "2.0"], [1, 2], ["1.0", "2.0"]),  # not "2.0" for 1, its place in the list
        (["1", "1.5"], [1.0, 1.5], ["1", "1.5"]),
        (["1.0", "1.1"], ["1.0", "1.1"], ["1.0", "1.1"]),
        (["2", "2.0"], ["2", "2.0", "2.00"], ["2", "2.0", "2.00"]),
    ],
)
def test_numbers_are_read_as_the_declared_label_that_they_equal(declared, cells, labels):
    reader = LabelReader(cells, None, declared)
    assert [reader.read(cell) for cell in cells] == labels and not reader.named


def test_declared_versions_stay_labels():
    assert LabelReader(["1.0", "2.0"], None, ["1.0", "2.0"]).read("1.0") == "1.0"


def test_class_names_win_and_withheld_labels_are_missing():
    reader = LabelReader([0], NAMES, None)
    assert (reader.read(1), reader.read(-1), reader.read(9)) == ("joy", None, "9")
    assert reader.known == tuple(NAMES)


def test_integer_of():
    assert [integer_of(value) for value in (1, "1", "1.0", 1.0, "-1")] == [1, 1, 1, 1, -1]
    assert [integer_of(value) for value in (1.5, "x", None, [], "1e3", "9" * 30)] == [None] * 6


def test_normalise():
    assert normalise_text("  Ｈｅｌｌｏ\n STRASSE ") == normalise_text("hello straße")
