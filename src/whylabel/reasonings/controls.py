"""Causal controls: reasonings that are spoilt in one way each, to measure what the real ones are worth.

A classifier that labels as well after training on spoilt reasonings has not learnt from what they lost:

    shuffled_words   the same words in random order            no sentence is left (Wadhwa et al. 2024)
    another_text     the reasoning of another text             the label fits, the text does not
                     of the same label
    another_label    the reasoning of a text of another label  neither fits
    filler           three dots for every word                 only its length is left (Lanham et al. 2023)
    key_words        its five most characteristic words        no sentence is left, only its subject

Nothing else changes: texts, labels, order, weights and steps stay. Every draw is decided by the seed.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from whylabel.text.words import tokens
from whylabel.types import Control, ReasonedExample

KEY_WORDS = 5
_FILLER = "..."


def controlled(rows: Sequence[ReasonedExample], control: Control, seed: int) -> list[ReasonedExample]:
    """Return the rows with their reasonings spoilt as the control says, one each; other candidates are removed."""
    texts = _SPOILT[control](rows, random.Random(f"{seed}-{control}"))
    return [replace(row, reasoning=text, candidates=(text,)) for row, text in zip(rows, texts, strict=True)]


def _shuffled_words(rows: Sequence[ReasonedExample], draw: random.Random) -> list[str]:
    found = []
    for row in rows:
        words = row.reasoning.split()
        draw.shuffle(words)
        found.append(" ".join(words))
    return found


def _another_text(rows: Sequence[ReasonedExample], draw: random.Random) -> list[str]:
    return _swapped(rows, draw, same_label=True)


def _another_label(rows: Sequence[ReasonedExample], draw: random.Random) -> list[str]:
    return _swapped(rows, draw, same_label=False)


def _swapped(rows: Sequence[ReasonedExample], draw: random.Random, *, same_label: bool) -> list[str]:
    """Return for every row the reasoning of another one; any other where no row of the wanted label is left."""
    by_label = defaultdict(list)
    for place, row in enumerate(rows):
        by_label[row.label].append(place)
    found = []
    for place, row in enumerate(rows):
        wanted = [
            other
            for label, places in by_label.items()
            if (label == row.label) == same_label
            for other in places
            if other != place
        ]
        others = wanted or [other for other in range(len(rows)) if other != place] or [place]
        found.append(rows[draw.choice(others)].reasoning)
    return found


def _filler(rows: Sequence[ReasonedExample], draw: random.Random) -> list[str]:
    return [" ".join([_FILLER] * max(1, len(row.reasoning.split()))) for row in rows]


def _key_words(rows: Sequence[ReasonedExample], draw: random.Random) -> list[str]:
    """Return the words of the highest TF-IDF among all reasonings, in their order."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(tokenizer=tokens, token_pattern=None, lowercase=False)
    weights = vectorizer.fit_transform([row.reasoning for row in rows])
    vocabulary = vectorizer.vocabulary_
    found = []
    for place, row in enumerate(rows):
        own = weights[place].toarray()[0]
        words = list(dict.fromkeys(tokens(row.reasoning)))
        best = set(sorted(words, key=lambda word: -own[vocabulary[word]])[:KEY_WORDS])
        found.append(" ".join(word for word in words if word in best))
    return found


_SPOILT: dict[Control, Callable[[Sequence[ReasonedExample], random.Random], list[str]]] = {
    "shuffled_words": _shuffled_words,
    "another_text": _another_text,
    "another_label": _another_label,
    "filler": _filler,
    "key_words": _key_words,
}
