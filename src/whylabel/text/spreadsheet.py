"""Protect text cells from being read as formulas by a spreadsheet, and undo it."""

from __future__ import annotations

import re

# The first character of a formula. After quotes it may be text that `harmless` has changed.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
# A plain negative number is no formula, and a column of them stays one of numbers.
_NEGATIVE_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def harmless(text: str) -> str:
    """Return the text so that a spreadsheet does not read it as a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _NEGATIVE_NUMBER.fullmatch(text) else text


def restored(text: str) -> str:
    """Return the text that `harmless` was given."""
    return text.removeprefix("'") if _FORMULA.match(text) else text
