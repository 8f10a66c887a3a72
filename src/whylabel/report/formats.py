"""Format numbers for people; other values become a dash."""

from __future__ import annotations

import math
from typing import TypeGuard

from whylabel.host.progress import duration as _duration

MISSING = "–"
_NO_BREAK = "\u00a0"
_MINUS = "\u2212"


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether the value is a finite int or float; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def decimal(value: object, digits: int = 3) -> str:
    """Return a text like 0.123, with a true minus sign for negative values."""
    if not is_number(value):
        return MISSING
    return f"{value:,.{digits}f}".replace("-", _MINUS)


def count(value: object) -> str:
    """Return a text like 12,345."""
    return decimal(value, 0)


def percent(value: object, digits: int = 1) -> str:
    """Return a share in percent, like 61.1 %."""
    text = decimal(_as_percent(value), digits)
    return text if text == MISSING else f"{text}{_NO_BREAK}%"


def points(value: object) -> str:
    """Return a difference of shares in percentage points, with its sign, like +2.2."""
    text = decimal(_as_percent(value), 1)
    if text == MISSING:
        return text
    if text.lstrip(_MINUS) == "0.0":
        return "0.0"
    return text if text.startswith(_MINUS) else f"+{text}"


def p_value(value: object) -> str:
    """Return a text like "p = 0.52", or "p < 0.001" for smaller values."""
    if not is_number(value):
        return f"p = {MISSING}"
    return "p < 0.001" if value < 0.001 else f"p = {value:.{2 if value >= 0.1 else 3}f}"


def duration(value: object) -> str:
    """Return a duration given in seconds; below 0.1 seconds in milliseconds."""
    if not is_number(value):
        return MISSING
    if value < 0.1:
        milliseconds = value * 1000
        if milliseconds < 0.1:
            return f"<{_NO_BREAK}0.1{_NO_BREAK}ms"
        return f"{milliseconds:.{0 if milliseconds >= 10 else 1}f}{_NO_BREAK}ms"
    text = f"{value:.2f} s" if value < 1 else _duration(value)
    return text.replace(" ", _NO_BREAK)


def shortened(value: object, length: int = 400) -> str:
    """Return the beginning of a long text, cut at a blank if possible."""
    text = str(value)
    if len(text) <= length:
        return text
    head = text[:length]
    return head.rsplit(" ", 1)[0] if " " in head[length // 2 :] else head


def clipped(value: object, length: int = 2000) -> str:
    """Return a text, or its beginning with an ellipsis: a page stays small whatever its data hold."""
    text = str(value)
    return text if len(text) <= length else f"{shortened(text, length)} …"


def _as_percent(value: object) -> object:
    return value * 100 if is_number(value) else None
