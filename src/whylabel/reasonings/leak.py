"""Whether a reasoning names its label in its first words.

A label that is a function word of the language, but for its case (`IT`, `US`, `A`, `Other`, `no`), stands in most
reasonings without being named. So it is compared with its case:

- it is named where it has another form than the word has at that place: `IT` anywhere, `A` and `Other` inside a
  sentence, not at its start;
- where it has the form of the word (`no`, `may`; `Other` at a sentence's start), it is named if it is marked as a
  label: in quotes or brackets, behind a colon, at the end of "the answer is no", or alone ("No, ...").

All other labels are named as `masking.names` says, whatever their case.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

import regex

from whylabel.reasonings.masking import names
from whylabel.text.function_words import ALWAYS_CAPITAL, FUNCTION_WORDS, language_by_function_words
from whylabel.text.words import UNSPACED, first_words, tokens

# Several labels of a text are joined by one of these.
_SEPARATORS = re.compile(r"\s*[,;|]\s*|\s+/\s+")
_JOINT = regex.compile(r"(?<=\w)[\s_-]+(?=\w)")
_SIGN = regex.compile(r"[^\w\s-]|^-|-$")
_UNSPACED = regex.compile(rf"{UNSPACED}+", regex.V1)
_EVERY_FUNCTION_WORD = frozenset().union(*FUNCTION_WORDS.values())
_MARKS = "\"'`*_“”„‟‘’‚‹›«»「」『』《》〈〉()[]{}<>（）【】"
# What is quoted begins like a sentence.
_SENTENCE_START = re.compile(
    rf"(^|[.!?…。！？\n]|[:：=→](?=\s)|[\"“„«‹「『]|(?<!\w)['‘‚])[\s{re.escape(_MARKS)}•–—-]*$"
)
_COLON = re.compile(rf"[:：=→]\s*[{re.escape(_MARKS)}]*$")
# "Label: no because ...", but not "The writer says: A customer ...".
_HEADING = regex.compile(r"(^|[.!?…。！？\n])\W*\w+(\s\w+)?\W*[:：=→]\W*$")
_SAID = re.compile(
    r"\b(is|are|was|be|as|label|labels|labelled|labeled|answer|category|class|tag|called|named)\s+$",
    re.IGNORECASE,
)
_NO_WORD_FOLLOWS = regex.compile(r"\s*($|[^\w\s'’-])|\s+[–—-]")
_ENDS_IN_WORD = regex.compile(r"\w$")
_BEGINS_WITH_WORD = regex.compile(r"\w")
# Words that can be a whole answer.
_ANSWERS = frozenset(tokens("no none neither other yes non nein ja nej nei não si sí sì nie нет да"))


def leaks(reasoning: str, words: int, label: str) -> bool:
    """Return whether a reasoning names its label within so many first words; of several labels, all of them."""
    parts = [part for part in _SEPARATORS.split(unicodedata.normalize("NFC", label).strip()) if part]
    if not any(map(_may_be_ordinary, parts)):
        return names(first_words(reasoning, words), label)
    reasoning = unicodedata.normalize("NFC", reasoning)
    start = first_words(reasoning, words)
    language = language_by_function_words(reasoning)
    return all(
        _is_named(part, reasoning, len(start), language)
        if _is_ordinary(part, language)
        else names(start, part)
        for part in parts
    )


def _words(label: str) -> list[str]:
    return [word for word in regex.split(r"[\W_]+", label.casefold()) if word]


@lru_cache(maxsize=4096)
def _may_be_ordinary(label: str) -> bool:
    words = _words(label)
    return bool(words) and _EVERY_FUNCTION_WORD.issuperset(words)


def _is_ordinary(label: str, language: str) -> bool:
    """Return whether all words of a label are function words of the language."""
    if _UNSPACED.fullmatch(label):
        return _may_be_ordinary(label)  # such scripts show their language
    return _may_be_ordinary(label) and FUNCTION_WORDS[language].issuperset(_words(label))


def _is_named(label: str, reasoning: str, end: int, language: str) -> bool:
    """Return whether a label of function words is named before the character `end`."""
    return any(
        found.end() <= end and _names_here(label, reasoning, found.start(), found.end(), language)
        for found in _pattern(label).finditer(reasoning)
    )


@lru_cache(maxsize=4096)
def _pattern(label: str) -> Any:
    """Return a pattern of the label as it is written; one in small letters may begin with a capital."""
    if _UNSPACED.fullmatch(label):
        return regex.compile(regex.escape(label))
    pieces = [regex.escape(piece) for piece in _JOINT.split(label)]
    first = label[0].upper()
    if label == label.lower() and label[0].isalpha() and len(first) == 1:
        pieces[0] = f"[{label[0]}{first}]{pieces[0][1:]}"
    return regex.compile(r"(?<!\w)" + r"[\s_-]+".join(pieces) + r"(?!\w)")


def _names_here(label: str, reasoning: str, start: int, end: int, language: str) -> bool:
    before, form, after = reasoning[:start], reasoning[start:end], reasoning[end:]
    set_off = _NO_WORD_FOLLOWS.match(after) is not None
    if before[-1:] and before[-1:] in _MARKS and after[:1] and after[:1] in _MARKS:
        return True
    # A phrase and a word with a sign (A+) are told apart from words as they are.
    if _SIGN.search(label) or len(_words(label)) > 1:
        return True
    if _COLON.search(before) and (set_off or _HEADING.search(before)):
        return True
    if _UNSPACED.fullmatch(label):
        return not _ENDS_IN_WORD.search(before) and not _BEGINS_WITH_WORD.match(after)
    starts = _SENTENCE_START.search(before) is not None
    if form not in _usual_forms(label, language, starts) and _has_lower_case(reasoning, form):
        return True
    alone = starts or re.search(r"[,;–—-]\s*(so\s+)?$", before) is not None
    said = _SAID.search(before) is not None
    return set_off and (said or (alone and label.casefold() in _ANSWERS))


def _usual_forms(label: str, language: str, starts_sentence: bool) -> set[str]:
    """Return the forms that the words of a label have where they name nothing."""
    small = label.lower()
    capital = small[:1].upper() + small[1:]
    always = capital in ALWAYS_CAPITAL.get(language, ())
    return {small, capital} if starts_sentence or always else {small}


def _has_lower_case(reasoning: str, form: str) -> bool:
    """Return whether there are small letters besides the label; in capitals alone, case says nothing."""
    return any(character.islower() for character in reasoning.replace(form, ""))
