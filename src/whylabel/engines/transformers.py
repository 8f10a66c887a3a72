"""The engine that runs everywhere: transformers' `generate` over static batches, or its continuous batching."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from whylabel.engines.base import UNUSABLE_PROMPT, Completion, Sampling
from whylabel.engines.decoding import generation_config, own_settings_ignored
from whylabel.engines.isolation import Isolation
from whylabel.engines.loops import loop_end, rows_in_loop
from whylabel.host.runtime import is_out_of_memory
from whylabel.models.capabilities import ANY_LENGTH
from whylabel.models.load import LoadedModel
from whylabel.text.prompts import Prompt

if TYPE_CHECKING:
    import torch

_Ids = Sequence[int]

# For a shorter prefix, copying its keys and values costs more than it saves.
_LEAST_SHARED_TOKENS = 16
_POLL_SECONDS = 0.5
# (tokens, rows) of a static batch. On a GPU a step of 64 rows takes as long as one of 500 (benchmarks/gpu.py).
_CPU_BATCH = (8192, 64)
_GPU_BATCH = (131_072, 1024)


@dataclass(frozen=True, slots=True)
class WrittenBatch:
    """A static batch as it was written: one entry a row, and what its tokens have left in the model's cache.

    `generated` holds every row's new tokens, the stop token and the padding behind it included. `mask` (rows, width)
    says where a row's prompt has tokens in the first columns of the `cache`; the generated tokens follow, the last
    column of them is not in the cache.
    """

    completions: Sequence[Completion]
    prompts: Sequence[_Ids]
    generated: Sequence[Sequence[int]]
    mask: torch.Tensor
    cache: Any


class TransformersEngine:
    """Static batches, left-padded, longest prompts first; or continuous batching over a paged cache.

    `tokens_per_batch` limits rows x (longest prompt + new tokens) of a static batch, `max_rows` its rows (the
    defaults depend on the device). The common prefix of a batch is computed once. A batch that fails is halved
    until the row that causes the failure is alone (`Isolation`); where memory ran out, later batches stay small.
    `continuous` selects continuous batching, for long outputs of very different lengths on a GPU; `paging` sets
    fields of transformers' `ContinuousBatchingConfig`.
    """

    name = "transformers"

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        tokens_per_batch: int | None = None,
        max_rows: int | None = None,
        continuous: bool = False,
        paging: Mapping[str, Any] | None = None,
    ) -> None:
        self._loaded = loaded
        default_tokens, default_rows = _GPU_BATCH if loaded.device.type == "cuda" else _CPU_BATCH
        self._tokens_per_batch = tokens_per_batch or default_tokens
        self._max_rows = max_rows or default_rows
        self._paging = dict(paging or {})
        self._continuous = continuous
        # Mask, keys and values of the last static batch, until its completions are made.
        self._state: tuple[torch.Tensor, Any] | None = None

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        inspect: Callable[[WrittenBatch], None] | None = None,
    ) -> Iterator[Completion]:
        """Yield completions when their request or their batch finishes.

        `inspect` is shown every static batch before its completions are yielded, with the keys and values.
        """
        ids = [prompt.ids for prompt in prompts]
        left = set(range(len(ids)))
        for index in [index for index, row in enumerate(ids) if not self._is_usable(row)]:
            left.discard(index)
            yield _failed(index, len(ids[index]), UNUSABLE_PROMPT)
        longest = max((len(ids[index]) for index in left), default=0) + sampling.max_new_tokens
        can = self._loaded.capabilities(longest)
        for index in sorted(left):
            needed = len(ids[index]) + sampling.max_new_tokens
            if can.positions is not None and needed > can.positions:
                left.discard(index)
                error = (
                    f"{needed} tokens with those to be written, but the model has {can.positions} positions"
                )
                yield _failed(index, len(ids[index]), error)
        if can.left_padding < longest:
            self._loaded.say_once(
                "  rows are written one at a time: padding would change what this model writes"
            )
        if self._continuous and left:
            for completion in self._generate_continuously(sorted(left), ids, sampling):
                left.discard(completion.index)
                yield completion
        # Static batches compute the rows that continuous batching has not done: it does not support every model.
        yield from self._generate_rows(sorted(left), ids, sampling, can.left_padding, inspect)

    def close(self) -> None:
        """Do nothing: the model belongs to the caller."""

    # -- continuous batching -----------------------------------------------------------------------------

    def _generate_continuously(
        self, rows: Sequence[int], ids: Sequence[_Ids], sampling: Sampling
    ) -> Iterator[Completion]:
        from transformers import ContinuousBatchingConfig

        settings = ContinuousBatchingConfig(**{"seed": sampling.seed, **self._paging})
        manager_of = self._loaded.model.continuous_batching_context_manager
        config = generation_config(sampling, self._loaded.tokenizer.pad_token_id)
        managed = manager_of(generation_config=config, continuous_batching_config=settings)
        with own_settings_ignored(self._loaded.model), managed as manager:
            for index in rows:
                manager.add_request(
                    list(ids[index]), request_id=str(index), max_new_tokens=sampling.max_new_tokens
                )
            left, finished_at = len(rows), time.monotonic()
            while left and (manager.is_running() or not manager.output_router.output_queue.empty()):
                result = manager.get_result(timeout=_POLL_SECONDS)
                if result is None or not result.is_finished():
                    continue
                left -= 1
                index = int(result.request_id)
                if result.error is not None:
                    yield _failed(index, len(ids[index]), str(result.error))
                    continue
                now = time.monotonic()
                seconds, finished_at = now - finished_at, now
                yield self._completion(index, result.generated_tokens, len(ids[index]), sampling, seconds)

    # -- static batches ----------------------------------------------------------------------------------

    def _batches(
        self, ids: Sequence[_Ids], rows: Sequence[int], new_tokens: int, together: int = ANY_LENGTH
    ) -> Iterator[list[int]]:
        """Yield rows that are computed together; those of more than `together` tokens are alone."""
        batch: list[int] = []
        for index in sorted(rows, key=lambda index: (-len(ids[index]), index)):
            width = len(ids[batch[0] if batch else index]) + new_tokens
            full = len(batch) == self._max_rows or (len(batch) + 1) * width > self._tokens_per_batch
            if batch and (full or width > together):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _generate_rows(
        self,
        rows: Sequence[int],
        ids: Sequence[_Ids],
        sampling: Sampling,
        together: int,
        inspect: Callable[[WrittenBatch], None] | None,
    ) -> Iterator[Completion]:
        started = time.monotonic()
        simplest = [(self._loaded.tokenizer.eos_token_id or 0,)]
        isolation: Isolation[int, list[int]] = Isolation(
            lambda batch: self._call_in_memory(batch, ids, sampling),
            lambda: self._call([0], simplest, replace(sampling, max_new_tokens=1)),
            "generate",
        )
        for batch in self._batches(ids, rows, sampling.max_new_tokens, together):
            for part, generated, failure in isolation.run(batch):
                now = time.monotonic()
                seconds, started = (now - started) / len(part), now
                if failure is not None:
                    yield _failed(part[0], len(ids[part[0]]), failure)
                    continue
                completions = [
                    self._completion(index, row, len(ids[index]), sampling, seconds)
                    for index, row in zip(part, generated, strict=True)
                ]
                state, self._state = self._state, None
                if inspect is not None and state is not None:
                    inspect(WrittenBatch(completions, [ids[index] for index in part], generated, *state))
                del state
                yield from completions

    def _call_in_memory(self, batch: list[int], ids: Sequence[_Ids], sampling: Sampling) -> list[list[int]]:
        """Call the model. If memory runs out, later batches are half as large."""
        try:
            return self._call(batch, ids, sampling)
        except Exception as error:
            if is_out_of_memory(error):
                width = max(len(ids[index]) for index in batch) + sampling.max_new_tokens
                self._tokens_per_batch = len(batch) * width // 2
            raise

    def _call(self, batch: list[int], ids: Sequence[_Ids], sampling: Sampling) -> list[list[int]]:
        import torch

        longest = max(len(ids[index]) for index in batch)
        # A sliding window, for example, also counts padding, so the prefix would fall out of the window.
        width = longest + sampling.max_new_tokens
        shared = shared_prefix([ids[index] for index in batch])
        if shared and width > self._loaded.capabilities(width).shared_prefix:
            shared = 0
            self._loaded.say_once(
                "  what all prompts begin with is computed for every row: this model cannot share it"
            )
        config = generation_config(sampling, self._loaded.tokenizer.pad_token_id)
        config.return_dict_in_generate = True
        # Every row: the prefix, then padding, then the rest of the prompt.
        inputs = torch.full((len(batch), longest), int(config.pad_token_id))
        mask = torch.zeros_like(inputs)
        inputs[:, :shared] = torch.tensor(ids[batch[0]][:shared], dtype=inputs.dtype)
        mask[:, :shared] = 1
        for row, index in enumerate(batch):
            rest = ids[index][shared:]
            inputs[row, longest - len(rest) :] = torch.tensor(rest, dtype=inputs.dtype)
            mask[row, longest - len(rest) :] = 1
        torch.manual_seed(sampling.seed + batch[0])
        with torch.inference_mode(), own_settings_ignored(self._loaded.model):
            output = self._loaded.model.generate(
                input_ids=inputs.to(self._loaded.device),
                attention_mask=mask.to(self._loaded.device),
                generation_config=config,
                stopping_criteria=[lambda ids, _scores: rows_in_loop(ids[:, longest:])],
                **self._cache(ids[batch[0]][:shared], len(batch)),
            )
        self._state = mask, output.past_key_values
        return [row.tolist() for row in output.sequences[:, longest:]]

    def _cache(self, prefix: _Ids, rows: int) -> dict[str, Any]:
        """Return the keys and values of the shared prefix, computed once and repeated for every row."""
        import torch

        if not prefix:
            return {}
        inputs = torch.tensor([list(prefix)], device=self._loaded.device)
        cache = self._loaded.model(input_ids=inputs, use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(rows)
        return {"past_key_values": cache}

    # -- both ways ---------------------------------------------------------------------------------------

    def _is_usable(self, row: _Ids) -> bool:
        """Return whether the model knows all tokens: on a GPU, an unknown one would end all work of the process."""
        vocabulary = int(self._loaded.model.get_input_embeddings().weight.shape[0])
        return bool(row) and 0 <= min(row) <= max(row) < vocabulary

    def _completion(
        self, index: int, ids: Sequence[int], prompt_tokens: int, sampling: Sampling, seconds: float
    ) -> Completion:
        end = next((place for place, token in enumerate(ids) if token in sampling.stop_ids), None)
        loop = loop_end(ids[:end])
        if loop is not None:
            # What follows is padding, which may be a stop token.
            ids, end = ids[:loop], None
        text = self._loaded.tokenizer.decode(list(ids[:end]), skip_special_tokens=True)
        return Completion(
            index,
            str(text).strip(),
            prompt_tokens,
            tokens=len(ids) if end is None else end + 1,
            finish="length" if end is None else "stop",
            seconds=seconds,
            stop_id=None if end is None else ids[end],
        )


def shared_prefix(rows: Sequence[_Ids]) -> int:
    """Return how many leading tokens all rows share, at most all but one; 0 if caching them does not pay off."""
    if len(rows) < 2:
        return 0
    first, last = min(map(tuple, rows)), max(map(tuple, rows))
    shortest = min(len(row) for row in rows) - 1
    shared = next((at for at in range(shortest) if first[at] != last[at]), shortest)
    return shared if shared >= _LEAST_SHARED_TOKENS else 0


def _failed(index: int, prompt_tokens: int, error: str) -> Completion:
    return Completion(index, "", prompt_tokens, 0, "error", error=error)
