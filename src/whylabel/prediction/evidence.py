"""Evidence: the stretches of a text on which its label rests, measured by leaving them out.

The effect of a stretch is log p(label | text) minus log p(label | text without the stretch), in nats: occlusion
(Zeiler and Fergus 2014, arXiv 1311.2901; for texts Li et al. 2016, arXiv 1612.08220). To score every word alone would
take as many passes as there are words. The search goes from coarse to fine instead: it scores a few large parts, then
the parts of the one with the largest effect, and so on, so that the number of scorings does not grow with the text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from whylabel.text.stretches import Stretch, parts, without
from whylabel.types import Evidence

MOST_SCORINGS = 12
"""Shortened texts that are scored for a text, at most; the whole text is scored once more."""
MOST_STRETCHES = 3
"""Stretches that are reported for a text, at most."""

_PARTS = 4
# Smaller effects are not reported: a stretch of no importance changes the score a little, too.
_LEAST_EFFECT, _LEAST_SHARE_OF_BEST = 0.02, 0.1
# The parts of a stretch are reported in its place if together they have most of its effect. Each must have a share.
_LEAST_SHARE_OF_ALL_PARTS, _LEAST_SHARE_OF_A_PART = 0.5, 0.2

LogP = Callable[[Sequence[int], Sequence[str]], Sequence[float]]
"""From rows (their numbers), and a text for each, to log p of the row's label given that text; NaN if it failed."""


def find_evidence(texts: Sequence[str], log_p: LogP) -> list[tuple[Evidence, ...]]:
    """Return for each text the stretches with the largest effects, the largest first; they do not overlap.

    A text whose label rests on no stretch alone has none.
    """
    full = log_p(range(len(texts)), texts)
    searches = [_Search(text, score) for text, score in zip(texts, full, strict=True)]
    # All texts take their next step together, so that their shortened texts are scored in one batch.
    while wanted := [(row, stretch) for row, search in enumerate(searches) for stretch in search.next()]:
        rows = [row for row, _ in wanted]
        shortened = [without(texts[row], stretch) for row, stretch in wanted]
        for (row, stretch), score in zip(wanted, log_p(rows, shortened), strict=True):
            searches[row].add(stretch, score)
    return [search.found() for search in searches]


@dataclass
class _Node:
    """A stretch, its effect, and its parts, as soon as they are scored."""

    stretch: Stretch
    effect: float
    parts: list[_Node] = field(default_factory=list)


class _Search:
    """The search in one text."""

    def __init__(self, text: str, full: float) -> None:
        self._text, self._full = text, full
        self._root = _Node((0, len(text)), float("inf"))
        self._open = [self._root]
        self._asked = self._root
        self._left = MOST_SCORINGS

    def next(self) -> list[Stretch]:
        """Return the stretches to score next: the parts of the one with the largest effect; none at the end."""
        while self._open and self._left > 1:
            self._asked = max(self._open, key=lambda node: node.effect)
            self._open.remove(self._asked)
            if self._asked is not self._root and self._asked.effect < self._least():
                continue
            found = parts(self._text, self._asked.stretch, min(_PARTS, self._left))
            if not found and self._asked is self._root and self._text.strip():
                found = [self._asked.stretch]
            self._left -= len(found)
            if found:
                return found
        return []

    def add(self, stretch: Stretch, score: float) -> None:
        """Take the log-probability of the label without a stretch that `next` returned."""
        effect = self._full - score
        node = _Node(stretch, 0.0 if math.isnan(effect) else effect)
        self._asked.parts.append(node)
        self._open.append(node)

    def found(self) -> tuple[Evidence, ...]:
        """Return the stretches to report."""
        nodes = sorted(_reported(self._root), key=lambda node: -node.effect)
        least = self._least()
        return tuple(
            Evidence(*node.stretch, self._text[slice(*node.stretch)], node.effect)
            for node in nodes[:MOST_STRETCHES]
            if node.effect >= least
        )

    def _least(self) -> float:
        """Return the smallest effect that is of interest: a share of the largest."""
        best = max((node.effect for node in _reported(self._root)), default=0.0)
        return max(_LEAST_EFFECT, _LEAST_SHARE_OF_BEST * best)


def _reported(node: _Node) -> list[_Node]:
    """Return a stretch, or in its place those of its parts that together have most of its effect."""
    if node.effect == float("inf"):
        chosen = node.parts
    else:
        chosen = [part for part in node.parts if part.effect >= _LEAST_SHARE_OF_A_PART * node.effect]
        if sum(part.effect for part in chosen) < _LEAST_SHARE_OF_ALL_PARTS * node.effect or not chosen:
            return [node]
    return [found for part in chosen for found in _reported(part)]
