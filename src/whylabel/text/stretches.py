"""Stretches of a text, from coarse to fine: sentences, clauses, words. Offsets count characters (code points).

No stretch begins or ends inside what a reader sees as one character (an emoji with its joiners, a letter with its
marks).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import regex

from whylabel.text.function_words import FUNCTION_WORDS, language_by_function_words
from whylabel.text.words import UNSPACED, tokens, tokens_a_word

Stretch = tuple[int, int]
"""(start, end): text[start:end]."""

_SENTENCE_END = regex.compile(r"[.!?…]+[\p{Pe}\p{Pf}\"']*(?=\s)|[。！？｡]+[\p{Pe}\p{Pf}]*|\n+")
_CLAUSE_END = regex.compile(r"[,;:]+[\p{Pe}\p{Pf}\"']*(?=\s)|[，、；：]+|\s[—–-]+(?=\s)|[—…]+")
_BETWEEN_BLANKS = regex.compile(r"\S+")
_CHARACTER = regex.compile(r"\X")
_PUNCTUATION = regex.compile(r"\p{P}+")
_BREAK = regex.compile(r"[\p{P}--['’\-]]|\n", regex.V1)
_UNSPACED = regex.compile(UNSPACED, regex.V1)
# Digits and keypad signs count as pictographic as well.
_EMOJI = regex.compile(r"[\p{Extended_Pictographic}\p{Regional_Indicator}--[\p{N}\p{P}\p{L}©®™]]", regex.V1)
_NEEDS_CHARACTERS = regex.compile(rf"{UNSPACED}|{_EMOJI.pattern}", regex.V1)
# What is left of don't, didn't, we'll and the like.
_CONTRACTED = regex.compile(
    r"(?:ai|are|could|did|does|do|had|has|have|is|should|was|were|wo|would)n|ll|re|ve|[dmst]"
)


def parts(text: str, stretch: Stretch, most: int) -> list[Stretch]:
    """Return the parts of a stretch in their order: at most `most` sentences, else clauses, else words.

    Where there are more, neighbours are joined into parts of about the same length. A single word has no parts.
    """
    for level in (_sentences, _clauses, _words):
        found = level(text, stretch)
        if len(found) > 1:
            return _joined(found, most)
    return []


def sentences(text: str) -> list[Stretch]:
    """Return where the sentences of a text stand; a line break ends one, too."""
    return _sentences(text, (0, len(text)))


def words(text: str) -> list[Stretch]:
    """Return the words of a text, as `parts` has them at its finest."""
    return list(_words(text, (0, len(text))))


def content_words(text: str) -> list[Stretch]:
    """Return the words and emoji of a text that are no function words of its language.

    All words, where there are no others, or where a single function word is too little to tell the language by.
    """
    every = words(text)
    function_words = FUNCTION_WORDS[language_by_function_words(text)]
    found = [word for word in every if _has_content(text[slice(*word)], function_words)]
    return found if found and len(every) - len(found) > 1 else every


def is_unbroken(text: str, stretch: Stretch) -> bool:
    """Return whether a stretch has no punctuation and no end of a line in it."""
    return not _BREAK.search(text, *stretch)


def without(text: str, stretch: Stretch) -> str:
    """Return the text without a stretch, with one blank less where two would meet."""
    left, right = text[: stretch[0]], text[stretch[1] :]
    if not left or left[-1].isspace():
        right = right.removeprefix(" ")
    return left + right


def _sentences(text: str, stretch: Stretch) -> list[Stretch]:
    return _cut(text, stretch, _SENTENCE_END)


def _clauses(text: str, stretch: Stretch) -> list[Stretch]:
    return _cut(text, stretch, _CLAUSE_END)


def _cut(text: str, stretch: Stretch, end: regex.Pattern[str]) -> list[Stretch]:
    """Return the stretches between the matches of `end`, each with its own match, without blanks around them."""
    cuts = [match.end() for match in end.finditer(text, *stretch)]
    places = pairwise([stretch[0], *cuts, stretch[1]])
    stripped = (_stripped(text, place) for place in places)
    return [place for place in stripped if place[0] < place[1]]


def _stripped(text: str, stretch: Stretch) -> Stretch:
    inside = text[slice(*stretch)]
    start = stretch[0] + len(inside) - len(inside.lstrip())
    return start, max(start, stretch[1] - (len(inside) - len(inside.rstrip())))


def _words(text: str, stretch: Stretch) -> list[Stretch]:
    """Return the words without punctuation around them, single emoji, and what consists of punctuation alone."""
    found = []
    for match in _BETWEEN_BLANKS.finditer(text, *stretch):
        if _NEEDS_CHARACTERS.search(match[0]):
            found += list(_by_character(text, match.span()))
        else:
            found.append(_bare(text, match.span()))
    return found


def _bare(text: str, stretch: Stretch) -> Stretch:
    """Return a stretch without punctuation at its ends, unless nothing else is in it."""
    start, end = stretch
    if leading := _PUNCTUATION.match(text, start, end):
        start = leading.end()
    if start == end:
        return stretch
    inside = text[start:end]
    trailing = regex.search(r"\p{P}+$", inside)
    return start, end - (len(trailing[0]) if trailing else 0)


def _has_content(word: str, function_words: frozenset[str]) -> bool:
    found = tokens(word)
    if not found:
        # An emoji, or an emoticon; a single sign of punctuation is none.
        return len(word) > 1 or not _PUNCTUATION.fullmatch(word)
    contracted = len(found) > 1
    return not all(
        token in function_words or (contracted and _CONTRACTED.fullmatch(token)) for token in found
    )


def _by_character(text: str, stretch: Stretch) -> Iterator[Stretch]:
    """Yield words, emoji, and stretches about as long as a word where a script has no blanks between its words."""
    size = tokens_a_word(text[slice(*stretch)])
    start, count, before = stretch[0], 0, ""
    for character in _CHARACTER.finditer(text, *stretch):
        kind = _kind(character[0])
        joins = kind == before and (kind == "word" or (kind == "unspaced" and count < size))
        if not joins:
            if before not in ("", "punctuation"):
                yield start, character.start()
            start, count = character.start(), 0
        before, count = kind, count + 1
    if before not in ("", "punctuation"):
        yield start, stretch[1]


def _kind(character: str) -> str:
    if _UNSPACED.match(character):
        return "unspaced"
    if _EMOJI.match(character):
        return "emoji"
    return "punctuation" if _PUNCTUATION.match(character) else "word"


def _joined(stretches: Sequence[Stretch], most: int) -> list[Stretch]:
    """Return neighbours joined into at most `most` stretches of about the same length."""
    if len(stretches) <= most:
        return list(stretches)
    first, last = stretches[0][0], stretches[-1][1]
    groups: list[list[Stretch]] = [[] for _ in range(most)]
    for stretch in stretches:
        middle = (stretch[0] + stretch[1]) / 2 - first
        groups[min(most - 1, int(middle * most / (last - first)))].append(stretch)
    return [(group[0][0], group[-1][1]) for group in groups if group]
