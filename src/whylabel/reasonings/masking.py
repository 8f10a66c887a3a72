"""Hiding a label in a reasoning: its words and their relatives, too many rather than too few.

A reasoning that says "the writer is sad" gives `sadness` away as much as one that says "sadness". Two words are
relatives if

- they have the same English stem (Snowball): `sadness`, `sad`;
- one's stem begins with the other's, of three letters at least: `joy`, `joyous`; a final `e` may go before a vowel:
  `love`, `lovable`;
- their stems share a beginning of three letters at least that is 60 % of the longer one: `anger`, `angry`.

Function words (of, not, it) are hidden only where a label has no other word, and then only themselves. Case, accents
and the way of encoding do not count. Labels in scripts without blanks, and emoji, are hidden wherever they stand; a
label with other signs (`C++`, `>50K`) as a whole, before its words are.
What this misses: irregular relatives (`pride`, `proud`), synonyms, prefixes (`love`, `unloved`) and, in other
languages than English, relatives that do not begin alike; in scripts without blanks all but the label itself and
Japanese endings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

import regex

from whylabel.text.function_words import FUNCTION_WORDS
from whylabel.text.words import UNSPACED, WORD

MASK = "___"
MASKING_VERSION = 2
"""Part of every verifier's fingerprint: raise it when other words are hidden."""

_LEAST_LETTERS = 3
_LEAST_SHARE = 0.6

_WORD = regex.compile(WORD, regex.V1)
_RUN = regex.compile(f"{UNSPACED}+", regex.V1)
# cardNotWorking, AddToPlaylist; card_not_working.
_JOINT = regex.compile(r"_+|(?<=\p{Ll})(?=\p{Lu})", regex.V1)
_ACCENTS = re.compile("[\u0300-\u036f]")
_KANA_ENDING = regex.compile(r"(.*\p{Han})(\p{Hiragana}+)")
# Articles and prepositions are written onto the word.
_PREFIXING = regex.compile(r"[\p{Arabic}\p{Hebrew}]")
# What may follow an emoji without making it another one: how it is drawn, and skin tones.
_VARIATION = "[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]"
_SIGN = regex.compile(r"[^\w\s]", regex.V1)
_SYMBOLS = regex.compile(rf"\p{{So}}(?:\p{{So}}|\u200d|{_VARIATION})*")
_FUNCTION_WORDS = FUNCTION_WORDS["en"]


def mask_words(reasoning: str, words: Iterable[str]) -> str:
    """Return the reasoning (in Unicode's composed form) with the words and their relatives replaced by `___`.

    A word may be a label of several words (`card_not_working`); each of them is hidden by itself.
    """
    parts = [_parts(word) for word in words]
    spaced = {part for found in parts for part in (*found.words, *found.joined)}
    verbatim = {pattern for found in parts for pattern in (*found.signed, *found.runs, *found.symbols)}
    reasoning = unicodedata.normalize("NFC", reasoning)
    if verbatim:
        longest_first = sorted(map(_pattern, verbatim), key=lambda pattern: (-len(pattern), pattern))
        reasoning = regex.sub("|".join(longest_first), MASK, reasoning, flags=regex.IGNORECASE)
    if spaced:
        reasoning = _WORD.sub(
            lambda match: MASK if _related_to_any(match[0], spaced) else match[0], reasoning
        )
    return reasoning


def names(text: str, label: str) -> bool:
    """Return whether the text names the label: every part of it, or its relative, stands somewhere in the text."""
    text = unicodedata.normalize("NFC", text)
    whole, pieces = _words_of(text)
    parts = _parts(label)

    def all_found(verbatim: Iterable[str]) -> bool:
        return all(regex.search(_pattern(part), text, flags=regex.IGNORECASE) for part in verbatim)

    if parts.joined and whole >= set(map(_key, parts.joined)):
        return all_found(parts.symbols)
    if not (parts.words or parts.runs or parts.symbols):
        return False
    words_found = all(any(_related(piece, part) for piece in pieces) for part in parts.words)
    return words_found and all_found((*parts.runs, *parts.symbols))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a label that are looked for: words, whose relatives count too, and others, which are verbatim."""

    words: tuple[str, ...]
    joined: tuple[str, ...]
    """Words that are written together, whole: `YouTube`, whose pieces `you` and `tube` mean less."""
    signed: tuple[str, ...]
    """The whole label, if it has signs that are not part of its words."""
    runs: tuple[str, ...]
    symbols: tuple[str, ...]


@lru_cache(maxsize=256)
def _words_of(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the keys of a text's words, and the words with their pieces.

    They are cached, because a text is searched for many labels.
    """
    words = _WORD.findall(text)
    pieces = {piece for word in words for piece in (word, *_JOINT.split(word))} - {""}
    return frozenset(map(_key, words)), frozenset(pieces)


@lru_cache(maxsize=4096)
def _parts(label: str) -> _Parts:
    label = unicodedata.normalize("NFC", label).strip()
    whole = _WORD.findall(label)
    pieces = [piece for word in whole for piece in _JOINT.split(word) if piece]
    content_words = [piece for piece in pieces if piece.isdigit() or _is_content_word(_key(piece))]
    joined = [word for word in whole if "_" not in word and len(_JOINT.split(word)) > 1]
    runs = _RUN.findall(label)
    symbols = _SYMBOLS.findall(label)
    if not (pieces or runs or symbols) and label:
        symbols = [label]
    signed = [label] if pieces and _SIGN.search(label) else []
    return _Parts(tuple(content_words or pieces), tuple(joined), tuple(signed), tuple(runs), tuple(symbols))


def _is_content_word(key: str) -> bool:
    return len(key) >= _LEAST_LETTERS and key not in _FUNCTION_WORDS


def _pattern(part: str) -> str:
    if ending := _KANA_ENDING.fullmatch(part):
        # A Japanese word changes its ending: 悲しい, 悲しみ, 悲しく.
        return rf"{regex.escape(ending[1])}\p{{Hiragana}}{{0,{len(ending[2])}}}"
    bare = regex.sub(_VARIATION, "", part)
    pattern = "".join(f"{regex.escape(character, literal_spaces=True)}{_VARIATION}*" for character in bare)
    # Where a label begins or ends with a word, that must be a whole word in the reasoning.
    before, after = (
        r"\b" if _SIGN.search(part) and _WORD.fullmatch(end) else "" for end in (part[0], part[-1])
    )
    return f"{before}{pattern}{after}"


def _related_to_any(token: str, parts: Iterable[str]) -> bool:
    pieces = {token, *_JOINT.split(token)} - {""}
    return any(_related(piece, part) for piece in pieces for part in parts)


@lru_cache(maxsize=1 << 16)
def _related(word: str, part: str) -> bool:
    """Return whether a word of a reasoning is a relative of a part of a label."""
    word, part = _key(word), _key(part)
    if word == part:
        return True
    if word in _FUNCTION_WORDS or part.isdigit():
        return False
    shorter, longer = sorted((_stem(word), _stem(part)), key=len)
    if shorter == longer:
        return True
    if part in _FUNCTION_WORDS or len(shorter) < _LEAST_LETTERS:
        return False
    if _PREFIXING.match(part) and part in word:
        return True
    shared = _shared_letters(shorter, longer)
    if shared >= _LEAST_LETTERS and shared >= min(len(shorter), _LEAST_SHARE * len(longer)):
        return True
    # love, lovable: the e goes before a vowel.
    return len(shorter) > _LEAST_LETTERS and shorter[shared:] == "e" and longer[shared] in "aeiouy"


def _shared_letters(first: str, second: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _key(word: str) -> str:
    """Return the word without case and accents; a syllable of Hangul becomes its letters."""
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", word.casefold()))


@lru_cache(maxsize=1 << 16)
def _stem(key: str) -> str:
    stem = str(_stemmer().stemWord(key))
    # Snowball leaves some adverbs their ending: angrily, angrili.
    rest = stem.removesuffix("li")
    return rest if len(rest) >= _LEAST_LETTERS else stem


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")
