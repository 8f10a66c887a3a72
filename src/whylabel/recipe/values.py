"""Which values a recipe may hold, whatever its fields: plain values of reasonable size and depth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

MOST_LEVELS = 32
_MOST_VALUES = 100_000
_LARGEST_NUMBER = 2**63
# Characters that no file name, prompt or file can hold: NUL, and the halves of a surrogate pair.
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


def check_values(values: Any) -> None:
    """Raise `ValueError`, which names the key, if no recipe can use one of the nested values.

    A value that is repeated by YAML's aliases counts each time, so that a few lines which expand to millions of
    values are refused.
    """
    for count, (keys, value) in enumerate(_walk(values, ()), start=1):
        key = ".".join(keys) or "recipe"
        if count > _MOST_VALUES:
            raise ValueError(f"A recipe has at most {_MOST_VALUES:,} values, but this one has more")
        if len(keys) > MOST_LEVELS:
            raise ValueError(f"{'.'.join(keys[:3])} is nested in more than {MOST_LEVELS} levels")
        if _UNUSABLE.search(key) or (isinstance(value, str) and _UNUSABLE.search(value)):
            shown = value if isinstance(value, str) else key
            raise ValueError(
                f"{ascii(key)[1:-1]} holds NUL, half a character or a byte that is not UTF-8: {shown[:80]!a}"
            )
        if isinstance(value, int) and abs(value) >= _LARGEST_NUMBER:
            raise ValueError(f"{key} is a number that is too large")
        if not isinstance(value, (str, int, float, date, dict, list, tuple, type(None))):
            raise ValueError(f"{key} is a {type(value).__name__}, which no recipe can hold")


def _walk(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield keys, value
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _walk(child, (*keys, str(key)))
    elif isinstance(value, (list, tuple)):
        for place, child in enumerate(value, start=1):
            yield from _walk(child, (*keys, str(place)))
