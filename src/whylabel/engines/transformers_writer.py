"""Writing step by step with transformers: one batch that rows join and leave between tokens.

A row that joins is computed up to its first token, then its keys and values are laid beside those of the others,
right-aligned. Keys are rotated by the row's own positions before they are kept, so padding on their left changes
nothing where the model ignores it (`Capabilities.left_padding`). Other models, and caches of other kinds, are
computed one row at a time.
"""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whylabel.engines.base import UNUSABLE_PROMPT, Sampling
from whylabel.engines.loops import is_in_loop
from whylabel.engines.writer import Ids, Row
from whylabel.host.runtime import last_line
from whylabel.models.load import LoadedModel

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class _Batch:
    """Rows that are computed together: `mask` (rows, width) says where each has tokens, `cache` what they left."""

    rows: list[Row]
    mask: torch.Tensor
    cache: Any


class TransformersWriter:
    """Writes up to `max_rows` rows together. New prompts of about `tokens_per_step` tokens join in a step."""

    def __init__(self, loaded: LoadedModel, *, max_rows: int = 64, tokens_per_step: int = 256) -> None:
        self._loaded = loaded
        self._max_rows, self._tokens_per_step = max_rows, tokens_per_step
        self._takes_positions = "position_ids" in inspect.signature(loaded.model.forward).parameters
        self._waiting: deque[Row] = deque()
        self._batches: list[_Batch] = []

    @property
    def is_idle(self) -> bool:
        """Whether no row waits or runs."""
        return not self._waiting and not self._batches

    def submit(self, index: int, prompt: Ids, sampling: Sampling) -> Row:
        """Add a row, which joins the others in the next step in which it fits."""
        row = Row(index, prompt, sampling)
        self._waiting.append(row)
        return row

    def cancel(self, row: Row) -> None:
        """Drop a row; the others' outputs stay what they were. A row that has ended stays as it is."""
        if row in self._waiting:
            self._waiting.remove(row)
        for batch in self._batches:
            if row in batch.rows:
                self._keep(batch, [place for place, other in enumerate(batch.rows) if other is not row])
        self._batches = [batch for batch in self._batches if batch.rows]

    def step(self) -> list[Row]:
        """Compute one token of every row, and the first ones of rows that join; return those that have ended."""
        ended: list[Row] = []
        for batch in self._batches:
            ended += self._timed(batch.rows, lambda batch=batch: self._next_tokens(batch))
        joining = self._joining(ended)
        if joining:
            ended += self._timed(joining, lambda: self._start(joining))
        self._batches = [batch for batch in self._batches if batch.rows]
        return ended

    def _timed(self, rows: Sequence[Row], compute: Any) -> list[Row]:
        """Compute something for rows and return those that have ended; all do if it fails."""
        rows, started = list(rows), time.monotonic()
        try:
            ended: list[Row] = compute()
        except Exception as error:  # whatever a model raises, it concerns these rows alone
            for row in rows:
                row.error = last_line(error)
            for batch in self._batches:
                batch.rows = [row for row in batch.rows if row not in rows]
            ended = rows
        for row in rows:
            row.seconds += (time.monotonic() - started) / len(rows)
        return ended

    def _joining(self, ended: list[Row]) -> list[Row]:
        """Return the rows that join in this step; those that no model can compute are added to the ended ones."""
        room = self._max_rows - sum(len(batch.rows) for batch in self._batches)
        joining: list[Row] = []
        width = 0
        while self._waiting and len(joining) < room:
            row = self._waiting[0]
            if (error := self._unusable(row)) is not None:
                row.error = error
                ended.append(self._waiting.popleft())
                continue
            width = max(width, len(row.prompt))
            if joining and (
                (len(joining) + 1) * width > self._tokens_per_step or not self._may_be_padded(joining, row)
            ):
                break
            joining.append(self._waiting.popleft())
        return joining

    def _unusable(self, row: Row) -> str | None:
        vocabulary = int(self._loaded.model.get_input_embeddings().weight.shape[0])
        if not row.prompt or not 0 <= min(row.prompt) <= max(row.prompt) < vocabulary:
            return UNUSABLE_PROMPT
        needed = len(row.prompt) + row.sampling.max_new_tokens
        positions = self._loaded.capabilities(needed).positions
        if positions is not None and needed > positions:
            return f"{needed} tokens with those to be written, but the model has {positions} positions"
        return None

    def _may_be_padded(self, *groups: Sequence[Row] | Row) -> bool:
        rows = [row for group in groups for row in ([group] if isinstance(group, Row) else group)]
        longest = max(len(row.prompt) + row.sampling.max_new_tokens for row in rows)
        return self._loaded.capabilities(longest).left_padding >= longest

    def _start(self, rows: list[Row]) -> list[Row]:
        """Compute the prompts of rows and their first tokens; those that have not ended join a batch."""
        import torch

        width = max(len(row.prompt) for row in rows)
        padding = self._loaded.tokenizer.pad_token_id or 0
        inputs = torch.full((len(rows), width), int(padding), device=self._loaded.device)
        mask = torch.zeros_like(inputs)
        for place, row in enumerate(rows):
            inputs[place, width - len(row.prompt) :] = torch.tensor(list(row.prompt), device=inputs.device)
            mask[place, width - len(row.prompt) :] = 1
        batch = _Batch(list(rows), mask, None)
        self._forward(batch, inputs)
        ended = self._drop_ended(batch)
        if batch.rows:
            for other in self._batches:
                plain = other.rows and _is_plain(batch.cache) and _is_plain(other.cache)
                if plain and self._may_be_padded(batch.rows, other.rows):
                    _join(other, batch)
                    break
            else:
                self._batches.append(batch)
        return ended

    def _next_tokens(self, batch: _Batch) -> list[Row]:
        import torch

        last = torch.tensor([[row.generated[-1]] for row in batch.rows], device=self._loaded.device)
        batch.mask = torch.cat([batch.mask, torch.ones_like(batch.mask[:, :1])], dim=1)
        self._forward(batch, last)
        return self._drop_ended(batch)

    def _forward(self, batch: _Batch, inputs: torch.Tensor) -> None:
        """Compute the inputs behind the batch's cache, and add the next token to every row."""
        import torch

        positions = {}
        if self._takes_positions:
            places = (batch.mask.cumsum(dim=1) - 1).clamp(min=0)
            positions["position_ids"] = places[:, -inputs.shape[1] :]
        with torch.inference_mode():
            output = self._loaded.model(
                input_ids=inputs,
                attention_mask=batch.mask,
                past_key_values=batch.cache,
                use_cache=True,
                logits_to_keep=1,
                **positions,
            )
            logits = output.logits[:, -1].float().cpu()
        batch.cache = output.past_key_values
        for row, token in zip(batch.rows, logits.argmax(dim=-1).tolist(), strict=True):
            row.generated.append(token if row.sampling.temperature == 0 else _drawn(row, logits, batch.rows))

    def _drop_ended(self, batch: _Batch) -> list[Row]:
        ended = [row for row in batch.rows if _has_ended(row)]
        if ended:
            self._keep(batch, [place for place, row in enumerate(batch.rows) if row not in ended])
        return ended

    def _keep(self, batch: _Batch, places: list[int]) -> None:
        """Keep some of the batch's rows, without the columns in which none of them has a token."""
        import torch

        batch.rows = [batch.rows[place] for place in places]
        if not places:
            return
        kept = torch.tensor(places, device=batch.mask.device)
        batch.mask = batch.mask[kept]
        batch.cache.batch_select_indices(kept)
        first = int(batch.mask.any(dim=0).int().argmax())
        if first and _is_plain(batch.cache):
            batch.mask = batch.mask[:, first:]
            for layer in batch.cache.layers:
                layer.keys, layer.values = layer.keys[:, :, first:], layer.values[:, :, first:]


def _has_ended(row: Row) -> bool:
    done = row.generated[-1] in row.sampling.stop_ids or len(row.generated) >= row.sampling.max_new_tokens
    return done or is_in_loop(row.generated)


def _drawn(row: Row, logits: torch.Tensor, rows: Sequence[Row]) -> int:
    """Return a token drawn as the row's sampling says, from its own stream of random numbers."""
    import torch

    if row.handle is None:
        row.handle = torch.Generator().manual_seed(row.sampling.seed)
    place = next(place for place, other in enumerate(rows) if other is row)
    chances = torch.softmax(logits[place].double() / row.sampling.temperature, dim=-1)
    if row.sampling.top_p < 1:
        ordered, order = chances.sort(descending=True)
        ordered[ordered.cumsum(dim=0) - ordered >= row.sampling.top_p] = 0
        chances = torch.zeros_like(chances).scatter(0, order, ordered)
    return int(torch.multinomial(chances, 1, generator=row.handle))


def _is_plain(cache: Any) -> bool:
    """Return whether the cache holds the keys and values of every token in every layer, in order."""
    from transformers.cache_utils import DynamicLayer

    layers = getattr(cache, "layers", None) or ()
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def _join(batch: _Batch, other: _Batch) -> None:
    """Add the rows of another batch to a batch; the narrower one is padded on its left."""
    import torch

    width = max(batch.mask.shape[1], other.mask.shape[1])

    def widened(tensor: torch.Tensor, before: int) -> torch.Tensor:
        return torch.nn.functional.pad(tensor, (0, 0) * (tensor.dim() > 2) + (width - before, 0))

    masks = [widened(one.mask, one.mask.shape[1]) for one in (batch, other)]
    for layer, joining in zip(batch.cache.layers, other.cache.layers, strict=True):
        # The last generated token of each row is not in the cache yet: both lack it, so both stay aligned.
        pairs = [(layer.keys, joining.keys), (layer.values, joining.values)]
        layer.keys, layer.values = (torch.cat([widened(one, one.shape[2]) for one in pair]) for pair in pairs)
    batch.rows += other.rows
    batch.mask = torch.cat(masks)
