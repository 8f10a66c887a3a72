"""OpenVINO's continuous batching, one step at a time: token ids in, token ids out, rows as they finish."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from whylabel.engines.base import UNUSABLE_PROMPT, Sampling
from whylabel.engines.loops import is_in_loop
from whylabel.errors import EngineError
from whylabel.host.runtime import last_line, prepare_process

_BLOCK_TOKENS = 32
"""Tokens in a cache block on a CPU. Rows may only share whole blocks: in OpenVINO (2026.4), rows that share part of a
block all write into it, and then read each other's tokens."""
_ROWS_PER_STEP = 256
"""With more rows in a step, its speed approaches the arithmetic limit of the machine."""
_TOKENS_PER_STEP = 1024
"""Enough for matrix products at full speed. A step cannot be interrupted, so it must stay below a few seconds."""


Ids = Sequence[int]


@dataclass(slots=True, eq=False)
class Row:
    """A prompt and its state. When it is yielded, it has `generated` ids (with the stop token) or an `error`."""

    index: int
    prompt: Ids
    generated: list[int] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0
    handle: Any = None


class PagedPipeline:
    """An exported model that generates in fp32 with `threads` threads.

    `tokens_in_flight` limits the prompt and new tokens of the rows that are computed together, and so the memory of
    their keys and values.
    """

    def __init__(self, folder: Path, *, vocab_size: int, tokens_in_flight: int, threads: int) -> None:
        prepare_process()
        import openvino_genai

        scheduler = openvino_genai.SchedulerConfig()
        # 0: the cache grows as needed. With a fixed size, a prompt that does not fit makes every row come back empty,
        # without an error.
        scheduler.cache_size = 0
        scheduler.enable_prefix_caching = True
        scheduler.max_num_seqs = _ROWS_PER_STEP
        scheduler.max_num_batched_tokens = _TOKENS_PER_STEP
        # By default keys and values have 8 bits and some CPUs compute in bf16: both change the generated tokens.
        properties = {
            "KV_CACHE_PRECISION": "f32",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            self._pipeline = openvino_genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", properties)
        except Exception as error:
            raise EngineError(
                f"OpenVINO cannot load the exported model: {last_line(error)}",
                where=str(folder),
                fix="remove the folder (it is then created again), or set augment.engine: transformers",
            ) from error
        self._vocab_size = vocab_size
        self._tokens_in_flight = tokens_in_flight
        self._request_ids = count()

    def run(self, prompts: Sequence[Ids], sampling: Sampling) -> Generator[Row]:
        """Yield every row when it is done, in any order. Closing the iterator cancels the remaining rows.

        Raises `EngineError` if the pipeline itself fails.
        """
        waiting = deque(Row(index, prompt) for index, prompt in enumerate(prompts))
        running: list[Row] = []
        try:
            seconds = self._cache_prefix(prompts)
            while waiting or running:
                yield from self._start_waiting(waiting, running, sampling)
                if not running:
                    break
                seconds += self._step()
                for row in running:
                    row.seconds += seconds / len(running)
                seconds = 0.0
                for row in running[:]:
                    if _is_done(row):
                        running.remove(row)
                        yield row
        finally:
            for row in running:
                row.handle.cancel()

    def _start_waiting(self, waiting: deque[Row], running: list[Row], sampling: Sampling) -> Iterator[Row]:
        """Move rows from `waiting` to `running` while they fit; yield the rows that OpenVINO rejects."""
        room = self._tokens_in_flight - sum(len(row.prompt) + sampling.max_new_tokens for row in running)
        while waiting:
            row = waiting[0]
            room -= len(row.prompt) + sampling.max_new_tokens
            if running and room < 0:
                return
            waiting.popleft()
            try:
                row.handle = self._request(row.prompt, _config(sampling, row.index))
            except (RuntimeError, ValueError) as error:
                row.error = last_line(error)
                yield row
            else:
                running.append(row)

    def _request(self, prompt: Ids, config: Any) -> Any:
        import numpy as np
        from openvino import Tensor

        # OpenVINO does not check ids and would read outside its embedding table.
        if not prompt or not 0 <= min(prompt) <= max(prompt) < self._vocab_size:
            raise ValueError(UNUSABLE_PROMPT)
        ids = Tensor(np.array([prompt], dtype=np.int64))
        return self._pipeline.add_request(next(self._request_ids), ids, config)

    def _cache_prefix(self, prompts: Sequence[Ids]) -> float:
        """Compute the common prefix of all prompts first, once; return the seconds it took.

        Rows that start together cannot share a prefix that is not in the cache yet.
        """
        shared = _shared_prefix(prompts) if len(prompts) > 1 else ()
        prefix = shared[: len(shared) // _BLOCK_TOKENS * _BLOCK_TOKENS]
        if not prefix:
            return 0.0
        seconds = 0.0
        try:
            handle = self._request(prefix, _config(Sampling(1, ()), 0))
        except (RuntimeError, ValueError):
            return seconds  # every row will report this error itself
        while _is_running(handle):
            seconds += self._step()
        return seconds

    def _step(self) -> float:
        started = time.monotonic()
        try:
            self._pipeline.step()
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO broke off: {last_line(error)}",
                fix="run again (finished rows are kept), or set augment.engine: transformers",
            ) from error
        return time.monotonic() - started


def _config(sampling: Sampling, index: int) -> Any:
    from openvino_genai import GenerationConfig

    config = GenerationConfig(max_new_tokens=sampling.max_new_tokens, ignore_eos=not sampling.stop_ids)
    # The pipeline needs an EOS among the stop tokens, even if it ignores it.
    config.stop_token_ids = set(sampling.stop_ids) or {0}
    config.eos_token_id = min(config.stop_token_ids)
    config.do_sample = sampling.temperature > 0
    if config.do_sample:
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p
        # Each row has its own seed, or equal prompts would give equal outputs.
        config.rng_seed = (sampling.seed + index) % 2**32
    return config


def _is_running(handle: Any) -> bool:
    from openvino_genai import GenerationStatus

    return bool(handle.get_status() == GenerationStatus.RUNNING)


def _is_done(row: Row) -> bool:
    """Read the row's new tokens, and return whether it has ended; it is cancelled if it is in a loop."""
    running = _is_running(row.handle)
    while row.handle.can_read():
        for output in row.handle.read().values():
            row.generated += output.generated_ids
    if running:
        if not is_in_loop(row.generated):
            return False
        row.handle.cancel()
    elif not row.generated:
        row.error = f"OpenVINO returned nothing (status {row.handle.get_status().name})"
    return True


def _shared_prefix(prompts: Sequence[Ids]) -> Ids:
    # A prefix that the smallest and the largest prompt share is shared by all prompts between them.
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    for place, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:place]
    return first
