"""Splits where the data gives none, and smaller samples of a split: stratified, seeded, repeatable."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

from whylabel.data.cells import normalise_text
from whylabel.recipe import DataConfig
from whylabel.types import Example

Splits = dict[str, list[Example]]


def complete_splits(given: Splits, config: DataConfig, seed: int) -> tuple[Splits, dict[str, str]]:
    """Return train, validation and test, cutting from train what is not given, and what was cut.

    Equal texts stay together. A label with one text stays in train.
    """
    splits = dict(given)
    inferred = {}
    for split, fraction in (("test", config.test_fraction), ("validation", config.validation_fraction)):
        if split not in splits:
            before = len(splits["train"])
            splits["train"], splits[split] = cut(splits["train"], fraction, seed)
            inferred[split] = f"{len(splits[split])} of {before} train rows, stratified by label, seed {seed}"
    return {name: splits[name] for name in ("train", "validation", "test")}, inferred


def cut(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Return (the rest, about `fraction` of the rows, at least one), each in the original order.

    Every label keeps at least one text in the rest; equal texts are never parted.
    """
    groups: dict[str, list[int]] = {}
    for at, example in enumerate(examples):
        groups.setdefault(normalise_text(example.text), []).append(at)
    members = list(groups.values())
    labels = [examples[group[0]].label for group in members]
    sizes = _sizes(labels)
    spare = {label: size - 1 for label, size in sizes.items()}
    seats = _seats(sizes, spare, max(round(fraction * len(members)), 1), one_each=False)
    taken = {at for group in _draw(labels, seats, seed) for at in members[group]}
    rest = [example for at, example in enumerate(examples) if at not in taken]
    return rest, [examples[at] for at in sorted(taken)]


def subsample(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """Return at most `count` examples in their order, labels in proportion, each at least once if it fits.

    With the same seed, a smaller sample is a part of a larger one, so that learning curves nest.
    """
    if count is None or count >= len(examples):
        return list(examples)
    labels = [example.label for example in examples]
    sizes = _sizes(labels)
    drawn = _draw(labels, _seats(sizes, sizes, count, one_each=True), seed)
    return [examples[at] for at in sorted(drawn)]


def _sizes(labels: Sequence[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for label in labels:
        sizes[label] = sizes.get(label, 0) + 1
    return sizes


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


def _draw(labels: Sequence[str], seats: dict[str, int], seed: int) -> list[int]:
    """Return as many positions of each label as it has seats."""
    positions: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        positions.setdefault(label, []).append(at)
    drawn = []
    for label, own in positions.items():
        # A generator per label: what one label draws does not hang on which others there are.
        random.Random(f"{seed} {label}").shuffle(own)
        drawn.extend(own[: seats[label]])
    return drawn
