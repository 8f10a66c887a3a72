"""The labels of a model in the type in which they were given: to JSON, and back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from whylabel.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MICROSECOND = timedelta(microseconds=1)
# Python types, each with the way to text and back.
_OBJECTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "int": (int, int),  # beyond 64 bits
    "date": (date.isoformat, date.fromisoformat),
    "datetime": (datetime.isoformat, datetime.fromisoformat),
    "time": (time.isoformat, time.fromisoformat),
    "timedelta": (lambda value: value // _MICROSECOND, lambda number: number * _MICROSECOND),
    "Decimal": (str, Decimal),
    "UUID": (str, UUID),
    "Timestamp": (lambda value: value.isoformat(), lambda text: _timestamp(text)),
}


def classes_to_json(classes: NDArray[Any]) -> Any:
    """Return the classes as JSON: a list, or `{"type": ..., "labels": [...]}` where a list loses the type.

    Raises `DataError` for labels of a type that cannot be written.
    """
    import numpy

    if classes.dtype.kind == "O":
        types = {type(label).__name__ for label in classes}
        name = types.pop()
        if types or name not in _OBJECTS:
            raise _unknown(name)
        return {"type": name, "labels": [_OBJECTS[name][0](label) for label in classes]}
    if classes.dtype.kind in "mM":
        return {"type": classes.dtype.name, "labels": classes.astype("int64").tolist()}
    if classes.dtype.kind not in "biufU":
        raise _unknown(classes.dtype.name)
    plain = classes.tolist()
    return (
        plain if numpy.array(plain).dtype == classes.dtype else {"type": classes.dtype.name, "labels": plain}
    )


def classes_from_json(value: Any) -> NDArray[Any]:
    """Return the classes that `classes_to_json` has written.

    Raises `KeyError`, `TypeError` or `ValueError` if it has not.
    """
    import numpy

    if isinstance(value, list):
        return numpy.array(value)
    name, labels = value["type"], value["labels"]
    if name not in _OBJECTS:
        return numpy.array(labels, dtype=name)
    classes = numpy.empty(len(labels), dtype=object)
    classes[:] = [_OBJECTS[name][1](label) for label in labels]
    return classes


def _unknown(name: str) -> DataError:
    return DataError(
        f"Labels of the type {name} cannot be saved.", fix="fit with strings or numbers as labels"
    )


def _timestamp(text: str) -> Any:
    from pandas import Timestamp

    return Timestamp(text)
