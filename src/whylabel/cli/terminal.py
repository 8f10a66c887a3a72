"""Texts from the data on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text from the data without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
