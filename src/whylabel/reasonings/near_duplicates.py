"""Texts that nearly repeat an earlier one, in a single pass.

Two texts are as similar as the share of their shingles (runs of three words) that they have in common: the Jaccard
index. MinHash (Broder 1997) finds which texts to compare: its signatures are cut into bands, and texts with an equal
band are compared exactly. So nothing is dropped by an estimate, but up to 2 % of the pairs right at the limit are
missed.
"""

from __future__ import annotations

import random
import zlib

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from whylabel.text.words import tokens, tokens_a_word

_SHINGLE_WORDS = 3
_HASHES = 64
_RECALL = 0.98
# Python's own generator: its numbers are the same in every version, so the same duplicates are found.
_random = random.Random(13)


def _odd_numbers(count: int) -> NDArray[np.uint64]:
    return np.array([_random.getrandbits(64) | 1 for _ in range(count)], dtype=np.uint64)


_JOIN = _odd_numbers(_SHINGLE_WORDS * 4)
_PERMUTE, _SHIFT, _MIX = _odd_numbers(_HASHES), _odd_numbers(_HASHES), _odd_numbers(_HASHES)


class NearDuplicates:
    """Remembers texts and recognises later ones whose similarity to one of them is above `max_similarity`.

    Takes about a kilobyte a text. A band is remembered for the first text that has it, so the time per text does
    not grow with their number.
    """

    def __init__(self, max_similarity: float) -> None:
        self.max_similarity = max_similarity
        # The longest band that still finds nearly all pairs at the limit: so the fewest texts are compared.
        self._band = next(
            (size for size in (8, 4, 2) if 1 - (1 - max_similarity**size) ** (_HASHES // size) >= _RECALL), 1
        )
        self._first: dict[int, int] = {}
        self._texts: list[bytes] = []

    def repeats(self, text: str) -> bool:
        """Return whether the text nearly repeats an earlier one; if not, remember it.

        A text without words repeats nothing.
        """
        shingles = _shingles(text)
        if not len(shingles):
            return False
        bands = self._bands(shingles)
        rivals = {self._first[band] for band in bands if band in self._first}
        if any(self._similarity(shingles, rival) > self.max_similarity for rival in rivals):
            return True
        for band in bands:
            self._first.setdefault(band, len(self._texts))
        self._texts.append(shingles.tobytes())
        return False

    def _bands(self, shingles: NDArray[np.uint32]) -> list[int]:
        hashes = (shingles.astype(np.uint64)[:, None] * _PERMUTE + _SHIFT) >> np.uint64(32)
        mixed: NDArray[np.uint64] = (hashes.min(axis=0) * _MIX).reshape(-1, self._band).sum(axis=1)
        keys: list[int] = mixed.tolist()
        return keys

    def _similarity(self, shingles: NDArray[np.uint32], other: int) -> float:
        others = np.frombuffer(self._texts[other], dtype=np.uint32)
        shared = len(np.intersect1d(shingles, others, assume_unique=True))
        return shared / (len(shingles) + len(others) - shared)


def _shingles(text: str) -> NDArray[np.uint32]:
    """Return the hashes of a text's shingles, sorted, each once; a text shorter than a shingle is one."""
    words = np.array([zlib.crc32(token.encode()) for token in tokens(text)], dtype=np.uint64)
    if not len(words):
        return np.empty(0, dtype=np.uint32)
    size = min(len(words), _SHINGLE_WORDS * tokens_a_word(text))
    joined = (sliding_window_view(words, size) * _JOIN[:size]).sum(axis=1)
    return np.unique((joined >> np.uint64(32)).astype(np.uint32))
