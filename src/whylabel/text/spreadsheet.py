"""Text cells that a spreadsheet shows as they are, and back."""

from __future__ import annotations

import re

# A formula's first sign; behind quotes, it may be text that was made harmless.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def harmless(text: str) -> str:
    """Return a cell that a spreadsheet does not take for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def restored(text: str) -> str:
    """Return what `harmless` was given."""
    return text.removeprefix("'") if _FORMULA.match(text) else text
