"""Which rows each optimizer step uses: determined before the first step, by the seed and the budget only.

`tokens_per_batch` and the number of processes do not change the rows of a step. They only determine how the rows are
divided into batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from whylabel.models.capabilities import ANY_LENGTH
from whylabel.models.flops import Flops
from whylabel.recipe import TrainingConfig
from whylabel.text.prompts import Rendered
from whylabel.training.row_order import RowOrder

Epochs = Callable[[int], Sequence[Rendered]]
"""Returns the examples of an epoch, from 0; they may differ between epochs."""

Batch = tuple[Rendered, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """The examples of an optimizer step, divided into the batches that are computed together."""

    epoch: int
    batches: tuple[Batch, ...]

    @property
    def rows(self) -> Iterator[Rendered]:
        """All examples of the step."""
        return (row for batch in self.batches for row in batch)


@dataclass(frozen=True, slots=True)
class Ways:
    """How the rows of a batch are computed together: how long rows may be for each way."""

    ragged: int = 0
    """Without padding; longer rows, and those in a batch with them, are padded to the longest."""
    padded: int = ANY_LENGTH
    """With padding; a longer row is a batch of its own."""
    packed: int = ANY_LENGTH
    """Where the recipe asks for packs: in one sequence. The rows of packs with longer ones are computed apart."""

    def without_padding(self, batch: Sequence[Rendered]) -> bool:
        """Return whether the batch is computed without padding; its longest row comes first."""
        return len(batch[0]) <= self.ragged


@dataclass(frozen=True)
class Plan:
    """All steps of a training."""

    examples: Epochs
    config: TrainingConfig
    seed: int
    flops: Flops
    processes: int = 1
    ways: Ways = field(default_factory=Ways)

    @property
    def packs(self) -> bool:
        """Whether the rows of a pack are computed in one sequence."""
        return self.config.packing and self.config.max_length <= self.ways.packed

    def count(self) -> int:
        """Return the number of steps."""
        return sum(1 for _ in self.steps())

    def steps(self, start: int = 0) -> Iterator[Step]:
        """Yield the steps from number `start` until the budget is spent, at least one step."""
        config = self.config
        by_epochs = not (config.max_steps or config.max_supervised_tokens or config.max_train_flops)
        min_steps = config.min_steps or 0
        number, supervised, spent = 0, 0, 0.0
        for epoch in count():
            if by_epochs and epoch >= config.num_train_epochs and number >= min_steps:
                return
            rows = self.examples(epoch)
            groups = self._groups(rows, epoch)
            if by_epochs and config.num_train_epochs < epoch + 1:
                left = math.ceil((config.num_train_epochs - epoch) * len(groups))
                groups = groups[: max(left, min_steps - number)]
            for group in groups:
                if number >= start:
                    yield Step(epoch, self._batches(group))
                number += 1
                supervised += sum(len(row.completion_ids) for batch in group for row in batch)
                if config.max_train_flops:
                    spent += sum(self.cost(row) for batch in group for row in batch)
                if (
                    number == config.max_steps
                    or supervised >= (config.max_supervised_tokens or math.inf)
                    or spent >= (config.max_train_flops or math.inf)
                ):
                    return

    def cost(self, row: Rendered) -> float:
        """Return the FLOPs of training on a row once."""
        return self.flops.training(
            len(row),
            len(row.completion_ids),
            adapters=self.config.method != "full",
            gradient_checkpointing=self.config.gradient_checkpointing,
        )

    def _groups(self, rows: Sequence[Rendered], epoch: int) -> list[list[Batch]]:
        """Return the units of each step: rows, or packs of rows."""
        config = self.config
        per_step = config.per_device_train_batch_size * config.gradient_accumulation_steps * self.processes
        order = RowOrder([len(row.prompt_ids) for row in rows], per_step, self.seed)
        order.set_epoch(epoch)
        ordered = [rows[place] for place in order]
        packs = _packs(ordered, config.max_length) if config.packing else ((row,) for row in ordered)
        units: list[Batch] = list(packs)
        return [units[at : at + per_step] for at in range(0, len(units), per_step)]

    def _batches(self, units: Sequence[Batch]) -> tuple[Batch, ...]:
        if self.packs:
            return tuple(tuple(sorted(unit, key=lambda row: -len(row))) for unit in units)
        rows = sorted((row for unit in units for row in unit), key=lambda row: -len(row))
        batches: list[Batch] = []
        batch: list[Rendered] = []
        for row in rows:
            padded = bool(batch) and not self.ways.without_padding(batch)
            width = len(batch[0] if padded else row)
            batch_tokens = width * len(batch) if padded else sum(map(len, batch))
            full = len(batch) == self.config.per_device_train_batch_size or width > self.ways.padded
            if batch and (full or batch_tokens + width > self.config.tokens_per_batch):
                batches.append(tuple(batch))
                batch = []
            batch.append(row)
        return (*batches, tuple(batch))


def _packs(rows: Sequence[Rendered], max_length: int) -> Iterator[Batch]:
    pack: list[Rendered] = []
    length = 0
    for row in rows:
        if pack and length + len(row) > max_length:
            yield tuple(pack)
            pack, length = [], 0
        pack.append(row)
        length += len(row)
    if pack:
        yield tuple(pack)
