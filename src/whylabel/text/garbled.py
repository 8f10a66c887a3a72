"""Texts that were read or saved in a wrong encoding."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# What editors and spreadsheets take for "the encoding of this computer" in different countries, and UTF-8.
_ENCODINGS = (
    "utf-8", "cp1252", "latin-1", "mac_roman", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "iso8859-15",
    "cp437", "cp850", "cp866", "gb18030", "big5", "cp932", "cp949",
)  # fmt: skip
# Programs differ in what they show for a byte that an encoding does not have.
_NO_CHARACTER = re.compile("[\x80-\x9f\ufffd]+")


def is_garbled(original: str, given: str) -> bool:
    """Return whether a text is the original one, read or saved in a wrong encoding: `é` is `Ã©`, or `?`."""
    if original.isascii() or original == given:
        return False
    return _comparable(given) in map(_comparable, _garbled(original))


def _comparable(text: str) -> str:
    return _NO_CHARACTER.sub("\ufffd", unicodedata.normalize("NFC", text))


def _garbled(text: str) -> Iterator[str]:
    """Yield what becomes of a text, except what it is."""
    for saved in _ENCODINGS:
        for kept in {_without_others(text, saved, "?"), _without_others(text, saved, "")}:
            for read in _ENCODINGS:
                found = kept.encode(saved, "replace").decode(read, "replace")
                if found != text:
                    yield found
                    if saved == "utf-8":  # twice in the same way
                        yield found.encode("utf-8", "replace").decode(read, "replace")


def _without_others(text: str, encoding: str, instead: str) -> str:
    """Return the text with the characters that an encoding lacks replaced, by similar ones if `instead` is empty."""
    if encoding in ("utf-8", "gb18030"):
        return text
    found = []
    for character in text:
        try:
            character.encode(encoding)
            found.append(character)
        except UnicodeEncodeError:
            plain = instead or unicodedata.normalize("NFKD", character)[0]
            found.append(plain if plain.isascii() else "?")
    return "".join(found)
