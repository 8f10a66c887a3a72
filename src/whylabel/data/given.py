"""Texts and labels as a program hands them over: lists, arrays, columns. They are checked as those of files are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from numbers import Number, Real
from typing import TYPE_CHECKING, Any

from whylabel.data.cells import PLACEHOLDERS, is_missing, is_scalar, normalise_text
from whylabel.data.split import SplitKeys, cut
from whylabel.errors import DataError
from whylabel.text.words import is_broken
from whylabel.types import Dataset, Example

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEVERAL = "for several labels a text, run a recipe with task.type: multi_label (whylabel run RECIPE)"
"""What to do where a text has several labels."""

_SHOWN = 5
_MISSING = "missing (None or NaN)"
_BROKEN = "not readable as text (half a character, or NUL)"


def given_texts(texts: Any, *, all_usable: bool = True) -> list[str]:
    """Return the texts. A table or an array of one column is that column.

    Unless `all_usable`, blank and broken texts are let through, and a missing one is the empty text.
    Raises `DataError` with the places of the texts that cannot be used, or if this is no sequence of texts.
    """
    found = _cells(texts, "texts")
    if found and all(isinstance(row, (list, tuple)) and len(row) == 1 for row in found):
        found = [row[0] for row in found]
    if all_usable:
        _refuse(found, "Text", _MISSING, lambda text: is_missing(text) and not isinstance(text, str))
    found = [text if isinstance(text, str) or not is_missing(text) else "" for text in found]
    _refuse(found, "Text", "not a string", lambda text: not isinstance(text, str))
    if all_usable:
        _refuse(found, "Text", "blank", is_missing)
        _refuse(found, "Text", _BROKEN, is_broken)
    return [str(text) for text in found]


def given_reasonings(reasonings: Any) -> list[str]:
    """Return the reasonings, trimmed; the empty text where there is none (None, NaN or blank).

    Raises `DataError` with the places of those that cannot be used, or if this is no sequence of texts.
    """
    found = ["" if is_missing(reasoning) else reasoning for reasoning in _cells(reasonings, "reasonings")]
    _refuse(found, "Reasoning", "not a string", lambda reasoning: not isinstance(reasoning, str))
    _refuse(found, "Reasoning", _BROKEN, is_broken)
    return ["" if text.strip().casefold() in PLACEHOLDERS else text.strip() for text in found]


def given_labels(labels: Any) -> NDArray[Any]:
    """Return the labels as an array in their own type, shape (texts,). A table of one column is that column.

    Raises `DataError` with the places of labels that are missing, broken, or no single value, or if labels have
    types that do not go together.
    """
    import numpy

    found = _cells(labels, "labels")
    for place, label in enumerate(found):
        if isinstance(label, (list, tuple, set, frozenset)) or getattr(label, "ndim", 0) > 0:
            raise DataError(f"Text {place} has a list of labels, but it must have one label.", fix=SEVERAL)
    _refuse(found, "Label", "missing (None, NaN or blank)", _is_no_label)
    _refuse(found, "Label", "infinite", lambda label: isinstance(label, Real) and math.isinf(label))
    _refuse(found, "Label", "not one value", lambda label: not is_scalar(label))
    _refuse(found, "Label", _BROKEN, lambda label: is_broken(str(label)))
    kinds = sorted({_kind(label) for label in found})
    if len(kinds) > 1:
        raise DataError(f"The labels are of several types: {', '.join(kinds)}.", fix="give all in one type")
    return numpy.asarray(found)


def label_names(classes: NDArray[Any]) -> list[str]:
    """Return the name of each class, which the model reads and writes.

    Raises `DataError` if two classes have the same name.
    """
    names = [str(label) for label in classes]
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise DataError(f"Two different labels are both written {name!r}.", fix="give them as strings")
    return names


def given_dataset(
    texts: Sequence[str],
    labels: Sequence[str],
    validation_fraction: float,
    seed: int,
    reasonings: Sequence[str] | None = None,
) -> Dataset:
    """Return the rows as a data set, numbered by place; an empty reasoning is none.

    Of the rows, `validation_fraction` (0: none) are the validation split: stratified by label, equal texts together.
    """
    import numpy

    reasonings = [""] * len(texts) if reasonings is None else reasonings
    cells = enumerate(zip(texts, labels, reasonings, strict=True))
    rows = [Example(str(at), text, label, reasoning) for at, (text, label, reasoning) in cells]
    if validation_fraction == 0:
        return Dataset(train=tuple(rows))
    names, strata = numpy.unique(labels, return_inverse=True)
    _, equal = numpy.unique([normalise_text(text) for text in texts], return_inverse=True)
    keys = SplitKeys(strata.astype(numpy.int32), tuple(names.tolist()), equal.astype(numpy.int64))
    train, validation = cut(numpy.arange(len(rows)), keys, validation_fraction, seed)
    return Dataset(tuple(rows[at] for at in train), tuple(rows[at] for at in validation))


def _cells(values: Any, what: str) -> list[Any]:
    """Return the values of a sequence, or of the only column of something with two dimensions."""
    if isinstance(values, (str, bytes, bytearray)):
        raise DataError(
            f"This needs a list of {what}, not one {what[:-1]}.", fix=f"put it in a list: [{what[:-1]}]"
        )
    if isinstance(values, (Mapping, set, frozenset)):
        raise DataError(
            f"This needs a list of {what}, not a {type(values).__name__}.",
            fix=f"give the {what} in their order",
        )
    shape = getattr(values, "shape", (0,))
    if len(shape) == 2:
        values = _only_column(values, shape, what)
    elif len(shape) != 1:
        raise DataError(f"This needs a list of {what}, not an array of {len(shape)} dimensions.")
    if hasattr(values, "to_pylist"):  # Arrow
        values = values.to_pylist()
    elif hasattr(values, "__array__") and not hasattr(values, "__iter__"):
        values = values.__array__()
    try:
        return list(values)
    except TypeError:
        raise DataError(f"This needs a list of {what}, not a {type(values).__name__}.") from None


def _only_column(table: Any, shape: tuple[int, ...], what: str) -> Any:
    """Return the column of an array or data frame that has one."""
    # In this order: the `columns` of an Arrow table are values, not names.
    names = getattr(table, "column_names", None) or getattr(table, "columns", None)
    names = None if names is None else list(names)
    if shape[1] != 1:
        named = (
            f" ({', '.join(map(str, names[:_SHOWN]))}{', ...' if len(names) > _SHOWN else ''})"
            if names
            else ""
        )
        raise DataError(
            f"This needs one column of {what}, and the {type(table).__name__} has {shape[1]}{named}.",
            fix="give one column, such as table['text']",
        )
    return table[:, 0] if names is None else table[names[0]]


def _refuse(values: Sequence[Any], noun: str, problem: str, has_it: Callable[[Any], bool]) -> None:
    """Raise `DataError` with the places of the values that have a problem."""
    places = [at for at, value in enumerate(values) if has_it(value)]
    if not places:
        return
    shown = ", ".join(map(str, places[:_SHOWN]))
    more = f" and {len(places) - _SHOWN:,} more" if len(places) > _SHOWN else ""
    verb = "is" if len(places) == 1 else "are"
    nouns = noun if len(places) == 1 else f"{noun}s"
    kind = type(values[places[0]]).__name__
    got = "" if kind == "str" or is_missing(values[places[0]]) else f" but a {kind}"
    raise DataError(
        f"{nouns} {shown}{more} {verb} {problem}{got}.",
        fix=f"correct {'it' if len(places) == 1 else 'them'}, or leave the rows out",
    )


def _is_no_label(value: Any) -> bool:
    # NaN and NaT of every library differ from themselves.
    return is_missing(value) or (is_scalar(value) and bool(value != value))


def _kind(label: Any) -> str:
    if isinstance(label, str):
        return "str"
    if isinstance(label, bool) or type(label).__name__ == "bool":  # NumPy's, too
        return "bool"
    return "number" if isinstance(label, Number) else type(label).__name__
