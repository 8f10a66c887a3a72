"""Cuts the splits that the data does not give, and draws samples of a split: stratified, seeded, repeatable."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
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
class SplitKeys:
    """What splits and samples are drawn by: an array each, with an entry for every row of the data.

    `strata` holds each row's stratum, as its place in `stratum_names`: its label, or one of its labels.
    `texts` holds numbers that are equal where texts count as equal.
    """

    strata: NDArray[numpy.int32]
    stratum_names: tuple[str, ...]
    texts: NDArray[numpy.int64]


def complete_splits(
    given: Splits, keys: SplitKeys, config: DataConfig, seed: int
) -> tuple[Splits, dict[str, str]]:
    """Return train, validation and test, and what was inferred: a split that is not given is cut from train.

    Rows with equal texts stay in one split. If all rows of a label have one text, they stay in train.
    """
    splits = dict(given)
    inferred = {}
    for split, fraction in (("test", config.test_fraction), ("validation", config.validation_fraction)):
        if split not in splits:
            before = len(splits["train"])
            splits["train"], splits[split] = cut(splits["train"], keys, fraction, seed)
            inferred[split] = f"{len(splits[split])} of {before} train rows, stratified by label, seed {seed}"
    return {name: splits[name] for name in SPLITS}, inferred


def cut(rows: Numbers, keys: SplitKeys, fraction: float, seed: int) -> tuple[Numbers, Numbers]:
    """Return (the rest, about `fraction` of the rows, at least one), each in the original order.

    The rest keeps at least one text of every stratum. Rows with equal texts stay together.
    """
    import numpy

    first = first_equal(keys.texts[rows])
    # The first row with a text stands for all rows with it.
    firsts = numpy.flatnonzero(first == numpy.arange(len(rows)))
    strata = keys.strata[rows[firsts]]
    sizes = _sizes(strata, keys.stratum_names)
    limits = {stratum: size - 1 for stratum, size in sizes.items()}
    counts = _proportional_counts(sizes, limits, max(round(fraction * len(firsts)), 1), one_each=False)
    is_drawn = numpy.zeros(len(rows), dtype=bool)
    is_drawn[firsts[_draw(strata, keys.stratum_names, counts, seed)]] = True
    is_cut = is_drawn[first]
    return rows[~is_cut], rows[is_cut]


def subsample(
    rows: Numbers, keys: SplitKeys, count: int | None, seed: int, *, first: Sequence[int] = ()
) -> Numbers:
    """Return at most `count` rows in their order, strata in proportion, each at least once if `count` allows it.

    Of each stratum, the rows that are in `first` are drawn before the others. With the same seed, a larger sample
    contains every smaller one, so that learning curves nest.
    """
    import numpy

    if count is None or count >= len(rows):
        return rows
    strata = keys.strata[rows]
    sizes = _sizes(strata, keys.stratum_names)
    counts = _proportional_counts(sizes, sizes, count, one_each=True)
    return rows[numpy.sort(_draw(strata, keys.stratum_names, counts, seed, numpy.isin(rows, first)))]


def balanced(
    rows: Numbers, keys: SplitKeys, per_stratum: int, seed: int, *, first: Sequence[int] = ()
) -> Numbers:
    """Return at most `per_stratum` rows of each stratum, in their order. Larger samples contain smaller ones.

    Of each stratum, the rows that are in `first` are drawn before the others.
    """
    import numpy

    strata = keys.strata[rows]
    counts = {name: min(size, per_stratum) for name, size in _sizes(strata, keys.stratum_names).items()}
    return rows[numpy.sort(_draw(strata, keys.stratum_names, counts, seed, numpy.isin(rows, first)))]


def first_equal(keys: NDArray[numpy.int64]) -> NDArray[numpy.int64]:
    """Return for each key the place of the first key that equals it, which may be its own place."""
    import numpy

    places = numpy.arange(len(keys))
    ordered = numpy.sort(keys)
    repeated = numpy.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(repeated):
        # Most data has few repeated keys, and the slower search below looks at these alone.
        others = numpy.flatnonzero(numpy.isin(keys, repeated))
        _, first, which = numpy.unique(keys[others], return_index=True, return_inverse=True)
        places[others] = others[first[which]]
    return places


def _sizes(strata: NDArray[numpy.int32], names: tuple[str, ...]) -> dict[str, int]:
    """Return how many rows each stratum has. Strata without rows are left out."""
    import numpy

    counts = numpy.bincount(strata, minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def _proportional_counts(
    sizes: dict[str, int], limits: dict[str, int], total: int, *, one_each: bool
) -> dict[str, int]:
    """Return how many rows to draw of each stratum: `total` in proportion to the sizes, none above its limit.

    This is the method of Sainte-Laguë. Rows are given one by one, so a larger total only adds to what a smaller one
    gives. scikit-learn's stratified split does not serve here: it refuses labels with one row, and more labels than
    test rows.
    """
    counts = dict.fromkeys(sizes, 0)
    queue = [(-size * (1e9 if one_each else 1.0), name) for name, size in sizes.items() if limits[name]]
    heapq.heapify(queue)
    for _ in range(total):
        if not queue:
            break
        _, name = heapq.heappop(queue)
        counts[name] += 1
        if counts[name] < limits[name]:
            heapq.heappush(queue, (-sizes[name] / (2 * counts[name] + 1), name))
    return counts


def _draw(
    strata: NDArray[numpy.int32],
    names: tuple[str, ...],
    counts: dict[str, int],
    seed: int,
    is_first: NDArray[numpy.bool_] | None = None,
) -> Numbers:
    """Return the places of randomly drawn rows, of each stratum as many as its count."""
    import numpy

    by_stratum = numpy.argsort(strata, kind="stable")
    ends = numpy.cumsum(numpy.bincount(strata, minlength=len(names))).tolist()
    drawn = [numpy.empty(0, dtype=numpy.int64)]
    for name, start, end in zip(names, [0, *ends], ends, strict=False):
        if counts.get(name):
            # Each stratum has its own generator, so what is drawn of it does not depend on the other strata.
            places = by_stratum[start:end].tolist()
            random.Random(f"{seed} {name}").shuffle(places)
            if is_first is not None and is_first[places].any():
                places.sort(key=lambda place: not is_first[place])
            drawn.append(numpy.array(places[: counts[name]], dtype=numpy.int64))
    return numpy.concatenate(drawn)
