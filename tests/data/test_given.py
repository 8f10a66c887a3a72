from datetime import date, datetime
from decimal import Decimal

import datasets
import numpy as np
import pandas as pd
import pyarrow
import pytest

from whylabel.data.given import given_dataset, given_labels, given_texts, label_names
from whylabel.errors import DataError

COLUMN = ["one", "two"]


@pytest.mark.parametrize(
    "texts",
    [
        COLUMN,
        tuple(COLUMN),
        iter(COLUMN),
        np.array(COLUMN),
        np.array(COLUMN, dtype=object),
        np.array(COLUMN)[:, None],
        [["one"], ["two"]],
        pd.Series(COLUMN, index=[7, 8]),
        pd.Series(COLUMN, dtype="category"),
        pd.Index(COLUMN),
        pd.DataFrame({"text": COLUMN}),
        pd.DataFrame({0: COLUMN}),
        pyarrow.array(COLUMN),
        pyarrow.table({"text": COLUMN}),
        datasets.Dataset.from_dict({"text": COLUMN}),
        datasets.Dataset.from_dict({"text": COLUMN})["text"],
    ],
    ids=lambda texts: type(texts).__module__,
)
def test_a_column_of_texts_in_any_form(texts):
    found = given_texts(texts)
    assert found == COLUMN
    assert {type(text) for text in found} == {str}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("one", "a list of texts, not one text"),
        (b"one", "a list of texts, not one text"),
        ({"text": COLUMN}, "a list of texts, not a dict"),
        (pd.DataFrame({"text": COLUMN}).to_dict(), "a list of texts, not a dict"),
        (set(COLUMN), "a list of texts, not a set"),
        (frozenset(COLUMN), "a list of texts, not a frozenset"),
        (None, "a list of texts, not a NoneType"),
        (3, "a list of texts, not a int"),
        (np.array("one"), "not an array of 0 dimensions"),
        (np.array(COLUMN)[:, None, None], "not an array of 3 dimensions"),
        (pd.DataFrame({"id": COLUMN, "text": COLUMN}), r"DataFrame has 2 \(id, text\)"),
        (pd.DataFrame(index=[1, 2]), "DataFrame has 0"),
        (np.array([COLUMN, COLUMN]), "ndarray has 2"),
        (pyarrow.table({"id": COLUMN, "text": COLUMN}), r"Table has 2 \(id, text\)"),
        ([COLUMN, ["three"]], "Texts 0, 1 are not a string but a list"),
        (["one", 2, 3.5], "Texts 1, 2 are not a string but a int"),
        ([{"text": "one"}], "Text 0 is not a string but a dict"),
        ([b"one"], "Text 0 is not a string but a bytes"),
        (["one", None], "Text 1 is missing"),
        (["one", float("nan"), pd.NA, pd.NaT], "Texts 1, 2, 3 are missing"),
        (pd.DataFrame({"text": ["one", None]}), "Text 1 is missing"),
        (["one", " \n"], "Text 1 is blank"),
        ([""] * 9, "Texts 0, 1, 2, 3, 4 and 4 more are blank"),
        (["one", "half \ud83d", "n\0l"], "Texts 1, 2 are not readable as text"),
    ],
)
def test_other_texts_are_refused_with_their_places(texts, said):
    with pytest.raises(DataError, match=said):
        given_texts(texts)


def test_texts_that_fail_alone_may_be_let_through():
    texts = ["one", " ", None, float("nan"), "half \ud83d"]
    assert given_texts(texts, all_usable=False) == ["one", " ", "", "", "half \ud83d"]
    with pytest.raises(DataError, match="Text 0 is not a string"):
        given_texts([3], all_usable=False)


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a"],
        [2, 10],
        [2.0, 0.5],
        [True, False],
        [date(2024, 2, 1), date(2024, 1, 1)],
        [datetime(2024, 2, 1, 8), datetime(2024, 1, 1)],
        [Decimal("2.0"), Decimal(1)],
        list(pd.to_datetime(["2024-02-01", "2024-01-01"])),
    ],
)
def test_labels_stay_what_they_are(labels):
    for form in (list, tuple, iter, pd.Series, lambda given: pd.DataFrame({"y": given}), lambda given: given):
        found = given_labels(form(labels))
        assert found.shape == (2,)
        assert found.tolist() == labels


@pytest.mark.parametrize(
    "kind", ["int8", "uint64", "float32", "datetime64[D]", "datetime64[ns]", "bool", "<U1"]
)
def test_arrays_of_labels_keep_their_type(kind):
    labels = np.array([1, 0]).astype(kind)
    assert given_labels(labels).dtype == given_labels(labels[:, None]).dtype == labels.dtype


@pytest.mark.parametrize(
    "nothing",
    [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("nan"), "", " "],
    ids=repr,
)
def test_missing_labels_are_refused_with_their_places(nothing):
    with pytest.raises(DataError, match=r"Labels 1, 3 are missing \(None, NaN or blank\)"):
        given_labels(["a", nothing, "b", nothing])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (pd.Series([1, None], dtype="Int64"), "Label 1 is missing"),
        (pd.Series([1, None]), "Label 1 is missing"),
        (np.array([0.0, np.nan]), "Label 1 is missing"),
        ([0.5, float("inf"), -np.float32("inf")], "Labels 1, 2 are infinite"),
        (["a", "n\0l", "\udc00"], "Labels 1, 2 are not readable as text"),
        (["a", 1], "several types: number, str"),
        ([True, 2], "several types: bool, number"),
        ([date(2024, 1, 1), "2024-01-01"], "several types: date, str"),
        ([b"a", b"b"], "Labels 0, 1 are not one value but a bytes"),
        ([{"a": 1}], "Label 0 is not one value but a dict"),
        (["a", ["b"]], "Text 1 has a list of labels"),
        (["a", np.array(["b"])], "Text 1 has a list of labels"),
        ("ab", "a list of labels, not one label"),
        ({0: "a"}, "a list of labels, not a dict"),
        ({"a", "b"}, "a list of labels, not a set"),
        (None, "a list of labels, not a NoneType"),
        (np.ones((2, 3)), "one column of labels, and the ndarray has 3"),
    ],
)
def test_other_labels_are_refused(labels, said):
    with pytest.raises(DataError, match=said):
        given_labels(labels)


def test_labels_have_names_of_their_own():
    assert label_names(np.array([1.0, 2.5])) == ["1.0", "2.5"]
    assert label_names(np.array([True])) == ["True"]
    with pytest.raises(DataError, match="both written '1'"):
        label_names(np.array([1, Decimal(1)], dtype=object))


def test_validation_rows_are_stratified_and_equal_texts_stay_together():
    texts = [f"text {at // 2}" for at in range(80)]
    labels = ["a" if at % 8 < 6 else "b" for at in range(80)]
    data = given_dataset(texts, labels, 0.25, seed=1)
    assert sorted(int(row.id) for row in (*data.train, *data.validation)) == list(range(80))
    assert [row.text for row in data.train] == [texts[int(row.id)] for row in data.train]
    assert sum(row.label == "b" for row in data.validation) == 4 or len(data.validation) == 20
    assert {row.text for row in data.train}.isdisjoint(row.text for row in data.validation)
    assert given_dataset(texts, labels, 0.25, seed=1) == data != given_dataset(texts, labels, 0.25, seed=2)
    whole = given_dataset(texts, labels, 0, seed=1)
    assert (len(whole.train), len(whole.validation)) == (80, 0)
