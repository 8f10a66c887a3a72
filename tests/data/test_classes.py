import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from whylabel.data.classes import classes_from_json, classes_to_json
from whylabel.errors import DataError


def objects(*values):
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


@pytest.mark.parametrize(
    "classes",
    [
        np.array(["fear", "joy"]),
        np.array([9, 10]),
        np.array([0.5, 2.0]),
        np.array([False, True]),
        np.array([1, 2], dtype=np.int8),
        np.array([1, 2], dtype=np.uint64),
        np.array([0.1, 0.2], dtype=np.float32),
        np.array(["2023-01-01", "2024-02-01"], dtype="datetime64[D]"),
        np.array(["2023-01-01T00:00:00.000000001", "2024"], dtype="datetime64[ns]"),
        np.array([1, 2], dtype="timedelta64[s]"),
        objects(date(2023, 1, 1), date(2024, 1, 1)),
        objects(datetime(2023, 1, 1, 8, 30), datetime(2024, 1, 1)),
        objects(datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)),
        objects(time(8, 30), time(9)),
        objects(timedelta(microseconds=1), timedelta(days=2)),
        objects(Decimal("1.0"), Decimal("2")),
        objects(UUID(int=1), UUID(int=2)),
        objects(1, 2**70),
        objects(*pd.to_datetime(["2023-01-01", "2024-01-01"], utc=True)),
    ],
)
def test_labels_come_back_from_json_as_they_were(classes):
    again = classes_from_json(json.loads(json.dumps(classes_to_json(classes))))
    assert again.dtype == classes.dtype
    assert again.tolist() == classes.tolist()
    assert [type(label) for label in again] == [type(label) for label in classes]


def test_strings_and_plain_numbers_are_a_list():
    assert classes_to_json(np.array(["fear", "joy"])) == ["fear", "joy"]
    assert classes_to_json(np.array([9, 10])) == [9, 10]


@pytest.mark.parametrize(
    "classes",
    [objects(*Enum("Mood", "joy fear")), objects(1, Decimal(2)), np.array([1j, 2])],
)
def test_labels_of_other_types_cannot_be_saved(classes):
    with pytest.raises(DataError, match="cannot be saved"):
        classes_to_json(classes)


@pytest.mark.parametrize(
    "value", [3, {"type": "date"}, {"type": "date", "labels": ["soon"]}, {"type": "x", "labels": [1]}]
)
def test_anything_else_is_an_error(value):
    with pytest.raises((KeyError, TypeError, ValueError)):
        classes_from_json(value)
