"""A text in pieces, with those marked that its label rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from whylabel.types import Evidence


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text; `effect` is None where no evidence was found."""

    text: str
    effect: float | None = None

    @property
    def lost(self) -> float:
        """The share of its probability that the label loses if the piece is left out."""
        return 1 - math.exp(-max(0.0, self.effect or 0.0))


def pieces(text: str, evidence: Sequence[Evidence] | None) -> tuple[Piece, ...]:
    """Return the whole text in pieces, in order. Evidence that lies beyond its end is left out, or cut at the end."""
    found: list[Piece] = []
    place = 0
    for one in sorted(evidence or (), key=lambda one: one.start):
        start, end = max(place, one.start), min(one.end, len(text))
        if start < end:
            found += [Piece(text[place:start]), Piece(text[start:end], one.effect)]
            place = end
    return tuple(piece for piece in (*found, Piece(text[place:])) if piece.text)
