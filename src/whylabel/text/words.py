"""Words in any script, for counting, comparing and cutting texts.

Most scripts separate words by blanks. Han, kana, Thai, Lao, Khmer and Burmese do not: there each character is a
token, and a fixed number of characters counts as one word. Finding the real words would need a dictionary.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter

import regex

# Unicode assigns the long vowel mark to all scripts, but it occurs only in kana.
_TWO_PER_WORD = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー"
_FOUR_PER_WORD = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"

UNSPACED = rf"[[{_TWO_PER_WORD}{_FOUR_PER_WORD}]&&\w]"
"""Pattern of a character of a script without blanks; compile it with `regex` and its flag V1."""
# Marks and joiners can be part of a word but not start one: emoji also contain them.
WORD = rf"(?=[\p{{L}}\p{{N}}_])[\w--[{_TWO_PER_WORD}{_FOUR_PER_WORD}]]+"
"""Pattern of a word of any other script."""

_TOKEN = regex.compile(rf"({WORD})|([[{_TWO_PER_WORD}]&&\w])|([[{_FOUR_PER_WORD}]&&\w])", regex.V1)
_UNGROUPED_TOKEN = regex.compile(rf"{WORD}|{UNSPACED}", regex.V1)
_UNSPACED = regex.compile(UNSPACED, regex.V1)
# Everything except Latin, Greek and Cyrillic letters, punctuation and emoji: scripts without blanks, and marks.
# Python's own `re` is much faster, but does not treat marks as part of a word.
_NEEDS_REGEX = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0590-\u1dff\u2c00-\ufdff\ufe10-\U0001efff\U0001fb00-\U0010ffff]"
)
# Tokens per word, by the matching group of `_TOKEN`. Chinese words have about 1.6 characters, Japanese words more,
# Thai words between four and five.
_TOKENS_PER_WORD = {1: 1, 2: 2, 3: 4}


def tokens(text: str) -> list[str]:
    """Return the case-folded words, and single characters of scripts without blanks."""
    folded = unicodedata.normalize("NFC", text.casefold())
    if _is_spaced(folded):
        return re.findall(r"\w+", folded)
    return list(_UNGROUPED_TOKEN.findall(folded))


def tokens_a_word(text: str) -> int:
    """Return the tokens per word of the text's main script: 2 for Han and kana, 4 for Thai and similar, else 1."""
    if _is_spaced(text) or not _UNSPACED.search(text):
        return 1
    counts = _counts(text)
    return _TOKENS_PER_WORD[max(counts, key=lambda group: counts[group] / _TOKENS_PER_WORD[group])]


def count_words(text: str) -> int:
    """Return the number of blank-separated words; characters of scripts without blanks count for 1/2 or 1/4."""
    if _is_spaced(text) or not _UNSPACED.search(text):
        return len(text.split())
    return math.ceil(sum(count / _TOKENS_PER_WORD[group] for group, count in _counts(text).items()))


def first_words(text: str, count: int) -> str:
    """Return the text up to the end of its `count`-th word."""
    seen = 0.0
    for match in _TOKEN.finditer(text):
        seen += 1 / _TOKENS_PER_WORD[match.lastindex or 1]
        if seen >= count:
            return text[: match.end()]
    return text


def is_broken(text: str) -> bool:
    """Return whether a text contains NUL or half a surrogate pair, which files and tokenizers reject."""
    if "\0" in text:
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_spaced(text: str) -> bool:
    return text.isascii() or not _NEEDS_REGEX.search(text)


def _counts(text: str) -> Counter[int]:
    return Counter(match.lastindex or 1 for match in _TOKEN.finditer(text))
