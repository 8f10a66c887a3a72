"""Quotations in a reasoning: which words it quotes, and where its text says them."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import regex

from whylabel.text.stretches import Stretch, without
from whylabel.text.words import UNSPACED

# A single quotation mark is an apostrophe as well: it opens a quotation only before a word, and closes it only after.
_PAIRS = (
    r"\"([^\"]*)\"",
    r"[“„‟]([^“”„‟]*)[”“]",
    r"«([^«»]*)»|»([^«»]*)«",
    r"「([^「」]*)」|『([^『』]*)』|《([^《》]*)》",
    r"(?<![\p{L}\p{N}])['‘‚](?=\S)((?:[^'‘’\n]|(?<=[\p{L}\p{N}])['’](?=[\p{L}\p{N}]))*?)(?<=\S)['’](?![\p{L}\p{N}])",
    r"(?<![`\w])`([^`\n]+)`",
)
_QUOTATION = regex.compile("|".join(_PAIRS))
_GAP = regex.compile(r"\s*(?:\.{3,}|…|\[(?:\.{3}|…)\])\s*")
_APOSTROPHES = dict.fromkeys(map(ord, "‘’‛`´ʼ"), "'") | dict.fromkeys(map(ord, "“”„‟«»"), '"')
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—−"), "-")
_SAME = _APOSTROPHES | _DASHES
_OUTER = regex.compile(r"^(?:\s|\p{P}(?!\p{M}))+|[\s\p{P}]+$")
_CHARACTER = regex.compile(r"\X")
_UNSEEN = regex.compile("[\u00ad\u200b\u2060\ufeff]")
_LETTER = regex.compile(rf"(?!{UNSPACED})[\p{{L}}\p{{N}}]", regex.V1)


def quotations(reasoning: str) -> list[str]:
    """Return what stands between quotation marks, in its order, without punctuation around it.

    A quotation with a gap (`so ... sad`) is as many as it has pieces. What has no letter or sign is none.
    """
    found = (
        next(group for group in match.groups() if group is not None)
        for match in _QUOTATION.finditer(reasoning)
    )
    pieces = (_bare(piece) for quoted in found for piece in _GAP.split(quoted))
    return [piece for piece in pieces if _comparable(piece)[0]]


def find(quotation: str, text: str) -> Stretch | None:
    """Return where a text says a quotation first, word for word; None if it does not.

    Case, Unicode form, blanks, and the kinds of apostrophes and dashes do not count. `leaf` is not in `leaflet`.
    """
    wanted, _ = _comparable(_bare(quotation))
    said, places = _comparable(text)
    start = said.find(wanted) if wanted else -1
    while start >= 0:
        end = start + len(wanted)
        if not (_is_inside(said, places, start) or _is_inside(said, places, end)):
            return places[start][0], places[end - 1][1]
        start = said.find(wanted, start + 1)
    return None


def without_quotations(reasoning: str) -> str:
    """Return a reasoning with an ellipsis in the place of all that it quotes."""
    return str(_QUOTATION.sub("…", reasoning))


def left_out(text: str, reasoning: str) -> str:
    """Return a text without all that a reasoning quotes of it, where the text says it first."""
    places = {place for quotation in quotations(reasoning) if (place := find(quotation, text)) is not None}
    for place in sorted(places, reverse=True):
        text = without(text, place)
    return text


def _bare(quoted: str) -> str:
    """Return a quotation without blanks and punctuation around it; with them if it has nothing else, as `?!`."""
    return _OUTER.sub("", quoted) or quoted.strip()


@lru_cache(maxsize=64)
def _comparable(text: str) -> tuple[str, list[Stretch]]:
    """Return the text as it is compared, and the stretch that each of its characters comes from."""
    characters: list[str] = []
    places: list[Stretch] = []
    for match in _CHARACTER.finditer(text):
        if match[0].isspace():
            compared = "" if characters and characters[-1] == " " else " "
        else:
            seen = _UNSEEN.sub("", match[0].translate(_SAME))
            compared = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
        characters += compared
        places += [match.span()] * len(compared)
    return "".join(characters), places


def _is_inside(said: str, places: list[Stretch], place: int) -> bool:
    """Return whether a place is inside a word, or inside what a reader sees as one character."""
    if not 0 < place < len(said):
        return False
    in_character = places[place - 1] == places[place]
    return in_character or all(_LETTER.match(character) for character in said[place - 1 : place + 1])
