"""Splits where the data gives none, and smaller samples of a split: stratified, seeded, repeatable."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whylabel.recipe import DataConfig

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Numbers = NDArray[numpy.int64]
    """Row numbers, ascending."""

    Splits = dict[str, Numbers]


SPLITS = ("train", "validation", "test")
"""The splits of a data set, in the order in which their rows are numbered."""


@dataclass(frozen=True, slots=True)
class Marks:
    """All that splits are drawn by, for every row of the data.

    `labels` holds each label's place in `names`; `texts` holds numbers that are equal where texts count as equal.
    """

    labels: NDArray[numpy.int32]
    names: tuple[str, ...]
    texts: NDArray[numpy.int64]


def complete_splits(
    given: Splits, marks: Marks, config: DataConfig, seed: int
) -> tuple[Splits, dict[str, str]]:
    """Return train, validation and test, cutting from train what is not given, and what was cut.

    Equal texts stay together. A label with one text stays in train.
    """
    splits = dict(given)
    inferred = {}
    for split, fraction in (("test", config.test_fraction), ("validation", config.validation_fraction)):
        if split not in splits:
            before = len(splits["train"])
            splits["train"], splits[split] = cut(splits["train"], marks, fraction, seed)
            inferred[split] = f"{len(splits[split])} of {before} train rows, stratified by label, seed {seed}"
    return {name: splits[name] for name in SPLITS}, inferred


def cut(rows: Numbers, marks: Marks, fraction: float, seed: int) -> tuple[Numbers, Numbers]:
    """Return (the rest, about `fraction` of the rows, at least one), each in the original order.

    Every label keeps at least one text in the rest; equal texts are never parted.
    """
    import numpy

    first = first_equal(marks.texts[rows])
    # One row stands for all rows of its text.
    leaders = numpy.flatnonzero(first == numpy.arange(len(rows)))
    labels = marks.labels[rows[leaders]]
    sizes = _sizes(labels, marks.names)
    spare = {label: size - 1 for label, size in sizes.items()}
    seats = _seats(sizes, spare, max(round(fraction * len(leaders)), 1), one_each=False)
    drawn = numpy.zeros(len(rows), dtype=bool)
    drawn[leaders[_draw(labels, marks.names, seats, seed)]] = True
    taken = drawn[first]
    return rows[~taken], rows[taken]


def subsample(rows: Numbers, marks: Marks, count: int | None, seed: int) -> Numbers:
    """Return at most `count` rows in their order, labels in proportion, each at least once if it fits.

    With the same seed, a smaller sample is a part of a larger one, so that learning curves nest.
    """
    import numpy

    if count is None or count >= len(rows):
        return rows
    labels = marks.labels[rows]
    sizes = _sizes(labels, marks.names)
    seats = _seats(sizes, sizes, count, one_each=True)
    return rows[numpy.sort(_draw(labels, marks.names, seats, seed))]


def balanced(rows: Numbers, marks: Marks, per_label: int, seed: int) -> Numbers:
    """Return at most so many rows of each label, in their order; a smaller sample is a part of a larger one."""
    import numpy

    labels = marks.labels[rows]
    seats = {name: min(size, per_label) for name, size in _sizes(labels, marks.names).items()}
    return rows[numpy.sort(_draw(labels, marks.names, seats, seed))]


def first_equal(keys: NDArray[numpy.int64]) -> NDArray[numpy.int64]:
    """Return for each key the place of the first one that equals it: its own, where none before it does."""
    import numpy

    places = numpy.arange(len(keys))
    ordered = numpy.sort(keys)
    repeated = numpy.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(repeated):
        # Few keys are repeated as a rule, and only these are looked at more closely.
        others = numpy.flatnonzero(numpy.isin(keys, repeated))
        _, first, which = numpy.unique(keys[others], return_index=True, return_inverse=True)
        places[others] = others[first[which]]
    return places


def _sizes(labels: NDArray[numpy.int32], names: tuple[str, ...]) -> dict[str, int]:
    """Return how many rows each label has, labels without rows left out."""
    import numpy

    counts = numpy.bincount(labels, minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def _seats(sizes: dict[str, int], most: dict[str, int], total: int, *, one_each: bool) -> dict[str, int]:
    """Share `total` among the labels in proportion to their sizes (Sainte-Laguë), none above `most`.

    Seats are given one by one, so that a larger total only ever adds to a smaller one's. scikit-learn's
    stratified split does not serve here: it refuses labels with one row, and more labels than test rows.
    """
    seats = dict.fromkeys(sizes, 0)
    queue = [(-size * (1e9 if one_each else 1.0), label) for label, size in sizes.items() if most[label]]
    heapq.heapify(queue)
    for _ in range(total):
        if not queue:
            break
        _, label = heapq.heappop(queue)
        seats[label] += 1
        if seats[label] < most[label]:
            heapq.heappush(queue, (-sizes[label] / (2 * seats[label] + 1), label))
    return seats


def _draw(labels: NDArray[numpy.int32], names: tuple[str, ...], seats: dict[str, int], seed: int) -> Numbers:
    """Return as many places of each label as it has seats."""
    import numpy

    by_label = numpy.argsort(labels, kind="stable")
    ends = numpy.cumsum(numpy.bincount(labels, minlength=len(names))).tolist()
    drawn = [numpy.empty(0, dtype=numpy.int64)]
    for name, start, end in zip(names, [0, *ends], ends, strict=False):
        if seats.get(name):
            # A generator per label: what one label draws does not hang on which others there are.
            own = by_label[start:end].tolist()
            random.Random(f"{seed} {name}").shuffle(own)
            drawn.append(numpy.array(own[: seats[name]], dtype=numpy.int64))
    return numpy.concatenate(drawn)
