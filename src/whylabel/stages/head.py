"""Training of a classification head together with the model below it, as a rival of the models that write labels.

The vector of a text is the last state of its last token (causal models) or the mean of its last states (encoders);
one linear layer turns it into a score for each label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.errors import ModelError
from whylabel.models.arithmetic import pick_dtype
from whylabel.recipe import TrainingConfig
from whylabel.training.optimizer import schedule
from whylabel.training.row_order import RowOrder

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Tokens = Sequence[Sequence[int]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """A model with a linear layer above it; `mean` says how the states of a text become one vector."""

    core: PreTrainedModel
    layer: torch.nn.Linear
    mean: bool
    several: bool
    """Whether each label is decided separately."""
    tokens_per_batch: int

    def scores(self, rows: Tokens, done: Callable[[int], None] = lambda _rows: None) -> Floats:
        """Return log-probabilities of the labels, or log-odds if each is decided separately, shape (rows, labels)."""
        import torch

        self.core.eval()
        found: dict[int, Any] = {}
        order = sorted(range(len(rows)), key=lambda place: -len(rows[place]))
        for places in _parts(order, rows, self.tokens_per_batch):
            with torch.inference_mode():
                logits = self.logits([rows[place] for place in places])
                values = logits if self.several else torch.log_softmax(logits, dim=-1)
            found.update(zip(places, values.double().cpu().numpy(), strict=True))
            done(len(places))
        return np.array([found[place] for place in range(len(rows))])

    def logits(self, rows: Tokens) -> torch.Tensor:
        """Return the scores of the labels, float32, shape (rows, labels)."""
        import torch

        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.zeros((len(rows), int(lengths.max())), dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(list(row))
        device = self.layer.weight.device
        mask = (torch.arange(ids.shape[1])[None, :] < lengths[:, None]).long().to(device)
        states = self.core(input_ids=ids.to(device), attention_mask=mask).last_hidden_state
        if self.mean:
            vectors = (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        else:
            vectors = states[torch.arange(len(rows), device=device), lengths.to(device) - 1]
        with torch.autocast(device.type, enabled=False):
            logits: torch.Tensor = self.layer(vectors.float())
        return logits


def train_head(
    core: PreTrainedModel,
    rows: Tokens,
    gold: Floats,
    config: TrainingConfig,
    steps: int,
    seed: int,
    *,
    several: bool,
    mean: bool,
    done: Callable[[int], None] = lambda _steps: None,
) -> Head:
    """Train the model, in place, and a new head on rows of token ids for so many optimizer steps.

    `gold` is 1 where a row has a label, shape (rows, labels). `done` is called after each step. Raises `ModelError`
    if the loss is no longer a number.
    """
    import torch

    device = core.device
    core.train()
    generator = torch.Generator().manual_seed(seed)
    layer = torch.nn.Linear(core.config.hidden_size, gold.shape[1])
    with torch.no_grad():
        layer.weight.normal_(0.0, 0.02, generator=generator)
        layer.bias.zero_()
    head = Head(core, layer.to(device), mean, several, config.tokens_per_batch)
    parameters = [*core.parameters(), *layer.parameters()]
    decayed, others = (
        [value for value in parameters if (value.ndim >= 2) is wanted] for wanted in (True, False)
    )
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
    share = schedule(config, steps)
    autocast = _arithmetic(config, device)
    truth = torch.tensor(gold, dtype=torch.float32)
    for step, places in enumerate(islice(_batches(rows, config, seed), steps)):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * share(step)
        for part in _parts(
            sorted(places, key=lambda place: -len(rows[place])), rows, config.tokens_per_batch
        ):
            with autocast():
                logits = head.logits([rows[place] for place in part])
            loss = _loss(logits, truth[part].to(device), several) / len(places)
            if not math.isfinite(float(loss.detach())):
                raise ModelError(
                    "The training of the classification head diverged: its loss is no number.",
                    where=f"step {step + 1}, learning rate {config.learning_rate:g}",
                    fix="lower training.learning_rate, or leave the rival out: evaluation.rivals",
                )
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done(1)
    core.eval()
    return head


def steps_for_flops(rows: int, epoch_flops: float, flops: float, config: TrainingConfig) -> int:
    """Return the number of optimizer steps that take about so many FLOPs, at least 1."""
    return max(1, round(flops / epoch_flops * rows / rows_per_step(config)))


def rows_per_step(config: TrainingConfig) -> int:
    """Return the number of rows in an optimizer step."""
    return config.per_device_train_batch_size * config.gradient_accumulation_steps


def _loss(logits: torch.Tensor, gold: torch.Tensor, several: bool) -> torch.Tensor:
    """Return the sum of the cross-entropies of the rows; of single decisions, their mean over the labels."""
    from torch.nn import functional

    if several:
        return functional.binary_cross_entropy_with_logits(logits, gold, reduction="sum") / gold.shape[1]
    return functional.cross_entropy(logits, gold, reduction="sum")


def _arithmetic(config: TrainingConfig, device: torch.device) -> Callable[[], Any]:
    import torch

    dtype = pick_dtype(config.dtype, device, fastest=True)[0]
    if dtype != torch.bfloat16:
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=dtype)


def _batches(rows: Tokens, config: TrainingConfig, seed: int) -> Iterator[list[int]]:
    """Yield the rows of each optimizer step, epoch after epoch."""
    size = rows_per_step(config)
    order = RowOrder([len(row) for row in rows], size, seed)
    epoch = 0
    while True:
        order.set_epoch(epoch)
        places = list(order)
        yield from (places[start : start + size] for start in range(0, len(places), size))
        epoch += 1


def _parts(places: Sequence[int], rows: Tokens, most_tokens: int) -> Iterator[list[int]]:
    """Yield places of rows that are computed at once; the rows come longest first."""
    start = 0
    while start < len(places):
        count = max(1, most_tokens // len(rows[places[start]]))
        yield list(places[start : start + count])
        start += count
