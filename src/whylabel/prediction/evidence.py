"""Evidence: the stretches of a text on which its label rests, measured by leaving them out.

The effect of a stretch is log p(label | text) minus log p(label | text without the stretch), in nats: occlusion
(Zeiler and Fergus 2014, arXiv 1311.2901; for texts Li et al. 2016, arXiv 1612.08220). To score every word alone would
take as many passes as there are words. Where a text has few enough content words, each of them is left out. In a
longer one the search goes from coarse to fine: it scores a few large parts, then the words or parts of the one with
the largest effect, and so on, so that the number of scorings does not grow with the text. In the end, words that
stand side by side are left out together, and reported as one stretch if that takes more than each of them alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from whylabel.text.stretches import Stretch, content_words, is_unbroken, parts, without
from whylabel.types import Evidence

Result = TypeVar("Result")

MOST_SCORINGS = 12
"""Shortened texts that are scored for a text, at most; the whole text is scored once more."""
MOST_STRETCHES = 3
"""Stretches that are reported for a text, at most."""

_PARTS = 4
# Smaller effects are not reported: a stretch of no importance changes the score a little, too.
_LEAST_EFFECT, _LEAST_SHARE_OF_BEST = 0.02, 0.3
# The parts of a stretch are reported in its place if together they have most of its effect. Each must have a share.
_LEAST_SHARE_OF_ALL_PARTS, _LEAST_SHARE_OF_A_PART = 0.5, 0.2

LogP = Callable[[Sequence[int], Sequence[str]], Sequence[float]]
"""From rows (their numbers), and a text for each, to log p of the row's label given that text; NaN if it failed."""


@dataclass
class _Node:
    """A stretch, its effect, and its parts, as soon as they are scored."""

    stretch: Stretch
    effect: float
    parts: list[_Node] = field(default_factory=list)


_Steps = Generator[list[Stretch], list[float], Result]
"""Yields stretches to leave out, and takes their effects."""


def find_evidence(texts: Sequence[str], log_p: LogP) -> list[tuple[Evidence, ...]]:
    """Return for each text the stretches with the largest effects, the largest first; they do not overlap.

    A text whose label rests on no stretch alone has none.
    """
    searches = [search_evidence(text) for text in texts]
    wanted = {row: next(search) for row, search in enumerate(searches)}
    found: dict[int, tuple[Evidence, ...]] = {}
    # All texts take their next step together, so that their shortened texts are scored in one batch.
    while wanted:
        rows = [row for row, shortened in wanted.items() for _ in shortened]
        scores = iter(log_p(rows, [text for shortened in wanted.values() for text in shortened]))
        given = {row: [next(scores) for _ in shortened] for row, shortened in wanted.items()}
        wanted = {}
        for row, log_ps in given.items():
            try:
                wanted[row] = searches[row].send(log_ps)
            except StopIteration as end:
                found[row] = end.value
    return [found[row] for row in range(len(texts))]


def search_evidence(text: str) -> Generator[list[str], list[float], tuple[Evidence, ...]]:
    """Return the evidence of one text; yields texts to score, and takes log p of its label given each of them.

    The first is the text itself. A log p that could not be computed is NaN.
    """
    (full,) = yield [text]
    search = _search(text)
    stretches: list[Stretch] | None = None
    effects: list[float] = []
    while True:
        try:
            stretches = next(search) if stretches is None else search.send(effects)
        except StopIteration as end:
            found: list[_Node] = end.value
            return tuple(Evidence(*node.stretch, text[slice(*node.stretch)], node.effect) for node in found)
        log_ps = yield [without(text, stretch) for stretch in stretches]
        effects = [0.0 if math.isnan(full - log_p) else full - log_p for log_p in log_ps]


def _search(text: str) -> _Steps[list[_Node]]:
    """Return the stretches of a text to report."""
    words = content_words(text)

    def words_in(stretch: Stretch) -> list[Stretch]:
        return [word for word in words if stretch[0] <= word[0] and word[1] <= stretch[1]]

    def some_parts(stretch: Stretch, left: int) -> list[Stretch]:
        return parts(text, stretch, min(_PARTS, left)) if left > 1 else []

    def words_or_parts(stretch: Stretch, left: int) -> list[Stretch]:
        inside = words_in(stretch)
        # One is kept for joining neighbours.
        if len(inside) < left:
            return inside
        return [part for part in some_parts(stretch, left) if words_in(part)]

    root = _Node((0, len(text)), math.inf)
    left = yield from _descend(root, words_or_parts, MOST_SCORINGS)
    if len(words) < MOST_SCORINGS and not _best(root):
        # No word has an effect alone. There may be several of which any is enough.
        left = yield from _descend(root, some_parts, left)
    best = _best(root)[:MOST_STRETCHES]
    neighbours = _side_by_side(text, words, best)
    if neighbours and left:
        joined = (neighbours[0].stretch[0], neighbours[-1].stretch[1])
        (effect,) = yield [joined]
        if effect > max(node.effect for node in neighbours):
            best = [_Node(joined, effect), *(node for node in best if node not in neighbours)]
    return sorted(best, key=lambda node: -node.effect)


def _descend(root: _Node, inside: Callable[[Stretch, int], list[Stretch]], left: int) -> _Steps[int]:
    """Score what is inside a text, then inside the stretch with the largest effect, and so on.

    Returns how many scorings are left.
    """
    to_open = [root]
    root.parts = []
    while to_open:
        node = max(to_open, key=lambda node: node.effect)
        to_open.remove(node)
        if node.effect < _least(root):
            break
        stretches = inside(node.stretch, left)
        if stretches and (node is root or stretches != [node.stretch]):
            left -= len(stretches)
            effects = yield stretches
            node.parts = [_Node(*pair) for pair in zip(stretches, effects, strict=True)]
            to_open += node.parts
    return left


def _best(root: _Node) -> list[_Node]:
    """Return the stretches whose effects are large enough to be reported, the largest first."""
    least = _least(root)
    return sorted((node for node in _reported(root) if node.effect >= least), key=lambda node: -node.effect)


def _least(root: _Node) -> float:
    """Return the smallest effect that is of interest: a share of the largest."""
    best = max((node.effect for node in _reported(root)), default=0.0)
    return max(_LEAST_EFFECT, _LEAST_SHARE_OF_BEST * best)


def _reported(node: _Node) -> list[_Node]:
    """Return a stretch, or in its place those of its parts that together have most of its effect."""
    if math.isinf(node.effect):
        chosen = node.parts
    else:
        chosen = [part for part in node.parts if part.effect >= _LEAST_SHARE_OF_A_PART * node.effect]
        if sum(part.effect for part in chosen) < _LEAST_SHARE_OF_ALL_PARTS * node.effect or not chosen:
            return [node]
    return [found for part in chosen for found in _reported(part)]


def _side_by_side(text: str, words: Sequence[Stretch], nodes: Sequence[_Node]) -> list[_Node]:
    """Return those words among the nodes that stand side by side: of several groups, the one with the most effect."""
    groups: list[list[_Node]] = [[]]
    by_stretch = {node.stretch: node for node in nodes}
    for word in words:
        node = by_stretch.get(word)
        before = groups[-1]
        if node and before and is_unbroken(text, (before[-1].stretch[1], word[0])):
            before.append(node)
        else:
            groups.append([node] if node else [])
    several = [group for group in groups if len(group) > 1]
    return max(several, key=lambda group: sum(node.effect for node in group), default=[])
