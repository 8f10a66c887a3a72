"""Cells of text that spreadsheets take for formulas, which is prevented, or for numbers and dates, which is not."""

from __future__ import annotations

import re
import unicodedata

# The first character of a formula. After quotes it may be text that `harmless` has changed.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
# A plain number is no formula, and a column of them stays one of numbers.
_NUMBER = re.compile(
    r"[+-]?([0-9]+(\.[0-9]*|,[0-9]+)?|[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?|[.,][0-9]+)([eE][+-]?[0-9]+)?%?"
)
# Numbers, dates, times, fractions and money (007, 1E5, 1-2, 10:30, $5); dates with a month (MAR1); truth values.
_REWRITTEN = re.compile(
    r"(?=.*[0-9])[0-9eEdDTZ\s.,:/%+\-'()$€£]+"
    r"|(?i:[0-9]*[-/. ]*(jan|feb|mar|mär|apr|ma[iy]|ju[nl]|aug|sept?|o[ck]t|nov|de[cz])[a-z]*[-/. ]*[0-9]+"
    r"|[0-9]+[-/. ]*(jan|feb|mar|mär|apr|ma[iy]|ju[nl]|aug|sept?|o[ck]t|nov|de[cz])[a-z]*"
    r"|true|false)"
)


def harmless(text: str) -> str:
    """Return the text so that a spreadsheet does not read it as a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def restored(text: str) -> str:
    """Return the text that `harmless` was given."""
    return text.removeprefix("'") if _FORMULA.match(text) else text


def may_be_rewritten(text: str) -> bool:
    """Return whether a spreadsheet takes a text for a number, a date or a truth value, and may save it otherwise."""
    return _REWRITTEN.fullmatch(text.strip()) is not None


def as_kept(text: str) -> str:
    """Return the form in which two texts are the same for programs that keep a text: line ends and NFC."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
