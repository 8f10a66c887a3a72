"""Text cells that a spreadsheet shows as they are, and back."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(text: str) -> str:
    """Return a cell that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in _FORMULA and text else text


def restored(text: str) -> str:
    """Return what `harmless` was given."""
    return text[1:] if text[:1] == "'" and text[1:2] in _FORMULA and len(text) > 1 else text
