"""Single cells: what counts as missing, how a text and a label are read from a value."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

PLACEHOLDERS = frozenset({"nan", "null", "none", "n/a", "na", "unknown", "?", "-", "undefined", "tbd"})
"""What people and programs write where there is no value, case folded."""

_INTEGER = re.compile(r"[+-]?\d+")
_INTEGRAL = re.compile(r"([+-]?\d+)\.(0+)")


def is_missing(value: Any) -> bool:
    """Return whether a cell is None, NaN, a pandas NA or NaT, or a blank string."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, float) and math.isnan(value)


def is_scalar(value: Any) -> bool:
    """Return whether a cell is a single readable value: no list, mapping, array or bytes."""
    return not isinstance(value, (list, tuple, set, dict, bytes, bytearray)) and not getattr(value, "ndim", 0)


def text_of(value: Any) -> str:
    """Return a cell as text, unchanged. A missing cell is the empty text."""
    return "" if is_missing(value) else str(value)


def escaped(text: str) -> str:
    """Return a text in which characters that cannot be shown are escape sequences."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def normalise_text(text: str) -> str:
    """Return the form in which two texts count as the same: NFKC, case folded, blanks collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def integer_of(value: Any) -> int | None:
    """Return the integer that a cell holds as int, integral float or digits, else None."""
    value = _plain(value)
    if isinstance(value, (bool, int)):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        text = value.strip()
        match = _INTEGRAL.fullmatch(text)
        digits = match[1] if match else text
        return int(digits) if _INTEGER.fullmatch(digits) and len(digits) < 20 else None
    return None


def as_written(values: Iterable[float | None]) -> list[float | None]:
    """Return numbers of 32 bits as they are written: 1.1, whose nearest number of 64 bits is 1.100000023841858."""
    import numpy

    return [None if value is None else float(str(numpy.float32(value))) for value in values]


class LabelReader:
    """Reads the labels of one column. It sees the cells of all splits first, so all splits are read alike.

    Integers become names if `class_names` (of the data) or `declared` (of the recipe, in order) give names. A number
    that equals one label of a closed set is that label. Other numbers keep their text (`1.0`, `1.1`), unless every
    label of the column is a whole number: then `3.0` is `3`.
    """

    def __init__(
        self,
        values: Iterable[Any],
        class_names: Sequence[str] | None,
        declared: Iterable[str] | None,
    ) -> None:
        names = tuple(declared) if declared is not None else None
        self.known: tuple[str, ...] | None = names
        """The closed set of labels, or None if none is given."""
        self._names = tuple(name.strip() for name in class_names) if class_names else None
        # The hub writes -1 for a label that was withheld.
        self._withheld = self._names is not None
        present = [value for value in values if not is_missing(value)]
        whole = all(integer_of(value) is not None for value in map(_comparable, present))
        if self._names is None and names is not None:
            spelled = {*names, *map(_digits, names)}
            if whole and not any({_text(value), _digits(value)} & spelled for value in present):
                self._names = names
        if self.known is None:
            self.known = self._names
        self._by_digits = _by_digits(self.known or ())
        self._whole = whole and len({len(places) for places in map(_decimal_places, present) if places}) < 2
        # 1 and 1.0 are one number where both are numbers, not texts.
        self._integers = {str(value) for value in map(_plain, present) if type(value) is int}
        self.rewritten: dict[str, str] = {}
        """The labels whose decimal places are not read, as they are written and as they are read."""
        if not self.named:
            read = {_text(value): self.read(value) for value in present}
            self.rewritten = {
                text: label for text, label in read.items() if label is not None and label != text
            }

    @property
    def named(self) -> bool:
        """Whether integers are read as names."""
        return self._names is not None

    def read(self, value: Any) -> str | None:
        """Return the label as a trimmed string, or None if it is missing.

        An integer without a name becomes its digits, which are not in `known`.
        """
        if is_missing(value):
            return None
        number = integer_of(_comparable(value)) if self._names is not None else None
        if number is not None and self._names is not None:
            if number == -1 and self._withheld:
                return None
            if 0 <= number < len(self._names):
                return self._names[number].strip()
        label = _text(value)
        if self.known and label in self.known:
            return label
        digits = _digits(value)
        plain = self._whole or (isinstance(_plain(value), float) and digits in self._integers)
        return self._by_digits.get(digits, digits if plain else label)


def _by_digits(names: Iterable[str]) -> dict[str, str]:
    """Return the names of whole numbers by their digits, except those of a number that has several names."""
    spelled: dict[str, set[str]] = {}
    for name in names:
        spelled.setdefault(_digits(name), set()).add(name)
    return {digits: next(iter(found)) for digits, found in spelled.items() if len(found) == 1}


def _text(value: Any) -> str:
    return str(_plain(value)).strip()


def _decimal_places(value: Any) -> str:
    """Return the zeros behind the point of a whole number that is written as text: nobody writes 2.0 beside 2.00."""
    match = _INTEGRAL.fullmatch(value.strip()) if isinstance(value, str) else None
    return match[2] if match else ""


def _digits(value: Any) -> str:
    """Return a label without the decimal places of a whole number: `3.0` is `3`, `3.5` stays as it is."""
    value = _plain(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    match = _INTEGRAL.fullmatch(text)
    return match[1] if match else text


def _comparable(value: Any) -> Any:
    """Return a decimal number as its text, which is how it is read."""
    return str(value) if isinstance(value, Decimal) else value


def _plain(value: Any) -> Any:
    """Return a numpy scalar as Python's own."""
    return value.item() if getattr(value, "ndim", None) == 0 else value
