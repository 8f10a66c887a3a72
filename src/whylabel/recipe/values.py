"""What values a recipe may hold, whatever its fields: plain ones, of sane size and depth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

MOST_LEVELS = 32
_MOST_VALUES = 100_000
_LARGEST_NUMBER = 2**63
# What no file name, no prompt and no file can hold: NUL, and the halves of a surrogate pair.
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


def check_values(values: Any) -> None:
    """Raise `ValueError`, which names the key, if something in nested values is of no use in any recipe.

    Values that stand for each other (YAML's aliases) count wherever they stand, so that a few lines which mean
    millions of values are refused.
    """
    for count, (keys, value) in enumerate(_walk(values, ()), start=1):
        key = ".".join(keys) or "recipe"
        if count > _MOST_VALUES:
            raise ValueError(f"A recipe has at most {_MOST_VALUES:,} values, and this one has more")
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
            raise ValueError(f"{key} is a {type(value).__name__}, which no recipe holds")


def _walk(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield keys, value
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _walk(child, (*keys, str(key)))
    elif isinstance(value, (list, tuple)):
        for place, child in enumerate(value, start=1):
            yield from _walk(child, (*keys, str(place)))
