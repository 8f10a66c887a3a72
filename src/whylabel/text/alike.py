"""Labels that look alike: they differ only by case, Unicode form, blanks, invisible characters or decimal zeros."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import regex

# Default ignorable characters are those that a font shows nothing for; U+2800 is a blank of Braille.
_INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}--[\s]]+", regex.V1)
_BLANK = re.compile("[\\s\u2800]+")
_ZEROS = re.compile(r"([+-]?\d+)\.0+")


def groups_alike(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of labels that look alike, labels in their order."""
    groups: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        groups.setdefault(_without_differences(label), []).append(label)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def difference(group: Sequence[str]) -> str:
    """Return by what the labels of a group differ: `case and blanks`."""
    kinds = {
        "invisible characters": _without_invisible,
        "blanks": lambda text: _BLANK.sub("", text),
        "Unicode form": lambda text: unicodedata.normalize("NFKC", text),
        "case": _folded,
        "decimal zeros": _without_zeros,
    }

    def differs(changes: Iterable[str]) -> bool:
        texts: Iterable[str] = group
        for name in changes:
            texts = map(kinds[name], texts)
        return len(set(texts)) > 1

    # A difference counts if it remains where all others are taken away. A few go away with each of several changes.
    found = [name for name in kinds if differs(other for other in kinds if other != name)]
    found = found or [name for name in kinds if not differs([name])][:1]
    return " and ".join(filter(None, [", ".join(found[:-1]), *found[-1:]])) or "characters that mean the same"


def told_apart(group: Sequence[str]) -> list[str]:
    """Return the labels in quotes. What a reader could not see is written as an escape sequence."""
    visible = {_without_invisible(unicodedata.normalize("NFC", repr(label))) for label in group}
    show = repr if len(visible) == len(group) else ascii
    return [show(label) for label in group]


def described(group: Sequence[str], counts: Mapping[str, int] | None = None) -> str:
    """Return what is said of labels that look alike, without a full stop: with the rows of each, where given."""
    names = told_apart(group)
    if counts is not None:
        names = [f"{name} ({counts.get(label, 0):,})" for name, label in zip(names, group, strict=True)]
    return f"Labels differ only by {difference(group)}: {', '.join(names)}"


def _without_differences(label: str) -> str:
    text = unicodedata.normalize("NFKC", _without_invisible(label))
    return _without_zeros(_BLANK.sub("", unicodedata.normalize("NFKC", _folded(text))))


def _without_invisible(text: str) -> str:
    return str(_INVISIBLE.sub("", text))


def _folded(text: str) -> str:
    # The Turkish i has a dot in both cases, or in none.
    return text.casefold().replace("i\u0307", "i").replace("ı", "i")


def _without_zeros(text: str) -> str:
    match = _ZEROS.fullmatch(text)
    return match[1] if match else text
