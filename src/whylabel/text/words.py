"""Words in any script, for counting, comparing and cutting texts.

Most scripts part words by blanks. Han, kana, Thai, Lao, Khmer and Burmese do not: there each character is a token,
and so many of them are taken for one word, since finding the words themselves would need a dictionary.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter

import regex

# The long vowel mark counts as common to all scripts, but stands in kana alone.
_TWO = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー"
_FOUR = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"

UNSPACED = rf"[[{_TWO}{_FOUR}]&&\w]"
"""Pattern of a character of a script without blanks; to be compiled with `regex` and its flag V1."""
# Marks and joiners belong to a word, but do not make one: emoji have them, too.
WORD = rf"(?=[\p{{L}}\p{{N}}_])[\w--[{_TWO}{_FOUR}]]+"
"""Pattern of a word of any other script."""

_TOKEN = regex.compile(rf"({WORD})|([[{_TWO}]&&\w])|([[{_FOUR}]&&\w])", regex.V1)
_UNGROUPED_TOKEN = regex.compile(rf"{WORD}|{UNSPACED}", regex.V1)
_UNSPACED = regex.compile(UNSPACED, regex.V1)
# Everything but Latin, Greek and Cyrillic letters, punctuation and emoji: scripts without blanks, and marks, which
# Python's own and much faster `re` does not take for a part of a word.
_MORE_THAN_RE = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0590-\u1dff\u2c00-\ufdff\ufe10-\U0001efff\U0001fb00-\U0010ffff]"
)
# By the group of `_TOKEN` that matched: how many such tokens make up a word. Chinese words have about 1.6
# characters, Japanese ones more, Thai ones between four and five.
_TOKENS_A_WORD = {1: 1, 2: 2, 3: 4}


def tokens(text: str) -> list[str]:
    """Return the words without regard to case, and single characters of scripts without blanks."""
    folded = unicodedata.normalize("NFC", text.casefold())
    if _is_spaced(folded):
        return re.findall(r"\w+", folded)
    return list(_UNGROUPED_TOKEN.findall(folded))


def tokens_a_word(text: str) -> int:
    """Return how many tokens make up a word in most of the text: 1, for Han and kana 2, for Thai and its like 4."""
    if _is_spaced(text) or not _UNSPACED.search(text):
        return 1
    counts = _counts(text)
    return _TOKENS_A_WORD[max(counts, key=lambda group: counts[group] / _TOKENS_A_WORD[group])]


def count_words(text: str) -> int:
    """Return the number of blank-separated words; characters of scripts without blanks count for 1/2 or 1/4."""
    if _is_spaced(text) or not _UNSPACED.search(text):
        return len(text.split())
    return math.ceil(sum(count / _TOKENS_A_WORD[group] for group, count in _counts(text).items()))


def first_words(text: str, count: int) -> str:
    """Return the text up to the end of its `count`-th word."""
    seen = 0.0
    for match in _TOKEN.finditer(text):
        seen += 1 / _TOKENS_A_WORD[match.lastindex or 1]
        if seen >= count:
            return text[: match.end()]
    return text


def is_broken(text: str) -> bool:
    """Return whether a text holds NUL or half a surrogate pair, which neither files nor tokenizers take."""
    if "\0" in text:
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_spaced(text: str) -> bool:
    return text.isascii() or not _MORE_THAN_RE.search(text)


def _counts(text: str) -> Counter[int]:
    return Counter(match.lastindex or 1 for match in _TOKEN.finditer(text))
