"""Single cells: what counts as missing, how a text and a label are read from a value."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

_INTEGER = re.compile(r"[+-]?\d+")
_INTEGRAL = re.compile(r"([+-]?\d+)\.0+")


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


class LabelReader:
    """Reads the labels of one column. It sees the cells of all splits first, so all splits are read alike.

    Integers become names if `class_names` (of the data) or `declared` (of the recipe, in order) give names. Otherwise
    an integer becomes the label of its digits.
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
        if self._names is None and names is not None:
            present = [value for value in values if not is_missing(value)]
            whole = all(integer_of(value) is not None for value in present)
            if whole and not any({str(value).strip(), _digits(value)} & set(names) for value in present):
                self._names = names
        if self.known is None:
            self.known = self._names

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
        number = integer_of(value) if self._names is not None else None
        if number is not None and self._names is not None:
            if number == -1 and self._withheld:
                return None
            if 0 <= number < len(self._names):
                return self._names[number].strip()
        label = str(value).strip()
        return label if self.known and label in self.known else _digits(value)


def _digits(value: Any) -> str:
    value = _plain(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    match = _INTEGRAL.fullmatch(text)
    return match[1] if match else text


def _plain(value: Any) -> Any:
    """Return a numpy scalar as Python's own."""
    return value.item() if getattr(value, "ndim", None) == 0 else value
