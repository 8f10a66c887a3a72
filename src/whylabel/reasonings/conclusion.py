"""Which labels a reasoning concludes with, and which it rejects: what its last sentence says of them.

"... so it is fear, not anger" affirms fear and denies anger. Only English negations are known. A label that is not
named, or named within quotation marks (words of the text), is neither affirmed nor denied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import regex

from whylabel.reasonings.masking import MASK, mask_words, names
from whylabel.text.quotes import without_quotations

_SENTENCE_END = regex.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
# What stands before these is taken back by what follows.
_TURN = re.compile(r"\b(?:but|yet|however)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[,;:()—–]|\b(?:so|and|because|while|although|though)\b", re.IGNORECASE)
_NEGATION = re.compile(
    r"\b(?:not|no|never|nor|neither|hardly|barely|without|cannot|rather than|instead of|"
    r"(?:more|less|other|stronger|deeper|warmer|softer|milder|\w+er) than|far from|rules? out|excludes?|rejects?)\b"
    r"|n[’']t\b",
    re.IGNORECASE,
)
_WORDS_AFTER_NEGATION = 5


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The labels that a reasoning's last sentence affirms, and those that it denies."""

    affirmed: frozenset[str]
    denied: frozenset[str]

    def contradicts(self, label: str) -> bool:
        """Return whether the reasoning leads away from a label: it denies it, or affirms others alone."""
        if label in self.affirmed:
            return False
        return label in self.denied or bool(self.affirmed)


def conclusion(reasoning: str, labels: Iterable[str]) -> Conclusion:
    """Return what a reasoning says of each of the labels in its end."""
    last = _last_sentence(without_quotations(reasoning))
    affirmed: set[str] = set()
    denied: set[str] = set()
    for label in labels:
        if not names(last, label):
            continue
        mentions = [_is_denied(before) for before in _before_mentions(last, label)]
        if mentions:
            (denied if all(mentions) else affirmed).add(label)
    return Conclusion(frozenset(affirmed), frozenset(denied))


def _last_sentence(text: str) -> str:
    sentences = [sentence for sentence in _SENTENCE_END.split(text.strip()) if re.search(r"\w", sentence)]
    last = sentences[-1] if sentences else ""
    after = _TURN.split(last)[-1]
    return after if re.search(r"\w", after) else last


def _before_mentions(sentence: str, label: str) -> list[str]:
    """Return what stands before each mention of a label, from the begin of its clause on."""
    masked = mask_words(sentence, [label])
    return [_CLAUSE.split(masked[: match.start()])[-1] for match in re.finditer(re.escape(MASK), masked)]


def _is_denied(before: str) -> bool:
    found = list(_NEGATION.finditer(before))
    return bool(found) and len(before[found[-1].end() :].split()) <= _WORDS_AFTER_NEGATION
