"""The order of training rows: it depends only on the seed and the epoch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_BATCHES_SORTED_TOGETHER = 16


class RowOrder:
    """A sampler that shuffles, then puts rows of similar length into the same batch to save padding.

    Lengths are those of the prompts, without completions, so classifier and baseline get the same batches. A resumed
    run has the same order as an uninterrupted one.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; every epoch has a different order."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self._seed}-{self._epoch}")
        rows = list(range(len(self._lengths)))
        rng.shuffle(rows)
        together = self._batch_size * _BATCHES_SORTED_TOGETHER
        batches = []
        for start in range(0, len(rows), together):
            group = sorted(rows[start : start + together], key=lambda row: -self._lengths[row])
            batches += [group[at : at + self._batch_size] for at in range(0, len(group), self._batch_size)]
        # A short batch must stay last, or it would shift the boundaries of the batches after it.
        short = [batches.pop()] if len(batches[-1]) < self._batch_size else []
        rng.shuffle(batches)
        for batch in [*batches, *short]:
            yield from batch
