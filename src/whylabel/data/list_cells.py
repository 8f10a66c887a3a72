"""Lists and objects that stand in a cell as text: what becomes of a column of lists in a CSV file."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from whylabel.data.cells import is_missing
from whylabel.data.table import Table

# array([...], dtype=object), set([...]); numpy.str_('a') and np.int64(3) are items that numpy 2 writes.
_WRAPPED = re.compile(
    r"(?:np\.|numpy\.)?(?:array|list|tuple|set|frozenset)\((.*?)(?:,\s*dtype=[^()]*)?\)", re.S
)
_NUMPY_ITEM = re.compile(r"(?:np|numpy)\.\w+\(([^()]*)\)")
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_ITEM = re.compile(rf"{_QUOTED}|[^\s,'\"\[\](){{}}:]+", re.S)
# Numpy writes blanks between the items of an array; Python would join such texts to one.
_FLAT = re.compile(rf"[\[{{]\s*(?:(?:{_ITEM.pattern})(?:\s*,\s*|\s+|(?=[\]}}])))+[\]}}]", re.S)
_WORDS = {"None": None, "null": None, "nan": None, "NaN": None, "<NA>": None, "True": True, "False": False}
_BARE = re.compile(r"\[[^\[\]]*\]|\{[^{}]*\}")
_PAIRS = {"[": "]", "(": ")", "{": "}"}


@lru_cache(maxsize=1 << 16)
def parsed(text: str) -> Any:
    """Return the list or object that a text spells, as Python, JSON or numpy write it, else None; do not change it.

    Lists of words without quotes are not among them: see `bare_lists`.
    """
    text = text.strip()
    wrapped = _WRAPPED.fullmatch(text)
    text = wrapped[1].strip() if wrapped else text
    if len(text) < 2 or _PAIRS.get(text[0]) != text[-1]:
        return [] if wrapped and not text else None
    text = _NUMPY_ITEM.sub(r"\1", text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _python_value(text)
    if isinstance(value, (tuple, set)):
        return sorted(value, key=str) if isinstance(value, set) else list(value)
    return value if isinstance(value, (list, dict)) else None


def bare_lists(texts: Sequence[str]) -> list[list[str]] | None:
    """Return lists of words without quotes (`[price, speed]`, `{price,speed}`), as other languages write them.

    A single text does not show whether its brackets belong to a label. So all texts must have them, and one of them
    a comma. Otherwise None is returned.
    """
    found = [text.strip() for text in texts]
    if not any("," in text for text in found) or not all(map(_BARE.fullmatch, found)):
        return None
    return [[item.strip().strip("\"'") for item in text[1:-1].split(",") if item.strip()] for text in found]


def is_interval(value: Any) -> bool:
    """Return whether a list may be an interval of numbers (`[0, 10]`), which is the name of one label."""
    numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    return numbers and len(value) == 2 and value[0] <= value[1]


def labels_of_object(value: dict[Any, Any]) -> list[Any] | None:
    """Return the labels in an object, or None if it is not clear which they are.

    They are the names that are true, where every value is true or false, or the only list in it
    (`{"choices": ["price", "speed"]}`).
    """
    values = list(value.values())
    if all(isinstance(item, bool) for item in values):
        return [name for name, applies in value.items() if applies]
    return list(values[0]) if len(values) == 1 and isinstance(values[0], (list, tuple)) else None


def holds_lists(table: Table, name: str) -> bool:
    """Return whether most cells of a column are lists; missing cells do not count."""
    return len(lists_of(table, name)) > sum(not is_missing(value) for value in table.column(name)) / 2


def lists_of(table: Table, name: str) -> list[list[object]]:
    """Return the lists in a column, those that are spelt as text included."""
    present = [value for value in table.column(name) if not is_missing(value)]
    texts = [value for value in present if isinstance(value, str)]
    values = [parsed(value) if isinstance(value, str) else value for value in present]
    only_texts = len(texts) == len(present)
    if only_texts and not any(values) and (bare := bare_lists(texts)):
        return [list(items) for items in bare]
    values = [labels_of_object(value) if isinstance(value, dict) else value for value in values]
    lists = [
        list(value)
        for value in values
        if isinstance(value, (list, tuple, set)) or getattr(value, "ndim", 0) == 1
    ]
    return [] if only_texts and all(map(is_interval, lists)) else lists


def _python_value(text: str) -> Any:
    if _FLAT.fullmatch(text):
        items = [_item(found) for found in _ITEM.findall(text[1:-1])]
        return None if any(item is _NOTHING for item in items) else items
    try:
        return ast.literal_eval(re.sub(r"\bnan\b", "None", text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


_NOTHING = object()


def _item(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    try:
        return (
            ast.literal_eval(text)
            if text[0] in "'\""
            else json.loads(f"{text}0" if text[-1] == "." else text)
        )
    except (ValueError, SyntaxError):
        return _NOTHING
