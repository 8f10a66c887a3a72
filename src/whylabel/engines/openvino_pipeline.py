"""OpenVINO's continuous batching, one step at a time: token ids in, token ids out, rows as they finish."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

from whylabel.engines.base import UNUSABLE_PROMPT, Sampling
from whylabel.engines.loops import is_in_loop
from whylabel.engines.writer import Ids, Row
from whylabel.errors import EngineError
from whylabel.host.runtime import last_line, prepare_process

_BLOCK_TOKENS = 32
"""Tokens in a cache block on a CPU. Rows may only share whole blocks: in OpenVINO (2026.4), rows that share part of a
block all write into it, and then read each other's tokens."""
_ROWS_PER_STEP = 256
"""With more rows in a step, its speed approaches the arithmetic limit of the machine."""
_TOKENS_PER_STEP = 1024
"""Enough for matrix products at full speed. A step cannot be interrupted, so it must stay below a few seconds."""


Precision = Literal["float32", "bfloat16"]
_PRECISION_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}


class PagedPipeline:
    """An exported model that generates with `threads` threads; `precision` is that of its products, keys and values.

    `tokens_in_flight` limits the prompt and new tokens of the rows that are computed together, and so the memory of
    their keys and values; `tokens_per_step` limits the tokens of a step, and so its duration. Rows are submitted at
    any time (`submit`, `step`, `cancel`), or all at once (`run`). With `prefix_caching`, equal beginnings of prompts
    are computed once; equal rows that run at different times would then share blocks that are not full.
    """

    def __init__(
        self,
        folder: Path,
        *,
        vocab_size: int,
        tokens_in_flight: int,
        threads: int,
        precision: Precision = "float32",
        tokens_per_step: int = _TOKENS_PER_STEP,
        prefix_caching: bool = True,
    ) -> None:
        prepare_process()
        import openvino_genai

        scheduler = openvino_genai.SchedulerConfig()
        # 0: the cache grows as needed. With a fixed size, a prompt that does not fit makes every row come back empty,
        # without an error.
        scheduler.cache_size = 0
        scheduler.enable_prefix_caching = prefix_caching
        scheduler.max_num_seqs = _ROWS_PER_STEP
        scheduler.max_num_batched_tokens = tokens_per_step
        # By default keys and values have 8 bits, and the precision of products depends on the CPU: both change the
        # generated tokens.
        properties = {
            "KV_CACHE_PRECISION": _PRECISION_HINTS[precision],
            "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[precision],
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
        self._waiting: deque[Row] = deque()
        self._running: list[Row] = []

    def submit(self, index: int, prompt: Ids, sampling: Sampling) -> Row:
        """Add a row, which is computed in the next steps in which it fits; its seed is that of `sampling`."""
        row = Row(index, prompt, sampling)
        self._waiting.append(row)
        return row

    def cancel(self, row: Row) -> None:
        """Drop a row; the others' outputs stay what they were. A row that has ended stays as it is."""
        if row in self._running:
            self._running.remove(row)
            row.handle.cancel()
        elif row in self._waiting:
            self._waiting.remove(row)

    def step(self) -> list[Row]:
        """Compute one step of all rows that fit; return those that have ended.

        Raises `EngineError` if the pipeline itself fails.
        """
        ended = list(self._start_waiting())
        if not self._running:
            return ended
        seconds = self._step()
        for row in self._running[:]:
            row.seconds += seconds / len(self._running)
        for row in self._running[:]:
            if _is_done(row):
                self._running.remove(row)
                ended.append(row)
        return ended

    @property
    def is_idle(self) -> bool:
        """Whether no row waits or runs."""
        return not self._waiting and not self._running

    def run(self, prompts: Sequence[Ids], sampling: Sampling) -> Generator[Row]:
        """Yield every row when it is done, in any order. Closing the iterator cancels the remaining rows.

        Raises `EngineError` if the pipeline itself fails.
        """
        seconds = self._cache_prefix(prompts)
        # Each row has its own seed, or equal prompts would give equal outputs.
        rows = [
            self.submit(index, prompt, replace(sampling, seed=sampling.seed + index))
            for index, prompt in enumerate(prompts)
        ]
        for row in rows:
            row.seconds = seconds / len(rows)
        try:
            while not self.is_idle:
                yield from self.step()
        finally:
            for row in rows:
                self.cancel(row)

    def _start_waiting(self) -> Iterator[Row]:
        """Move rows from waiting to running while they fit; yield the rows that OpenVINO rejects."""
        room = self._tokens_in_flight - sum(_tokens(row) for row in self._running)
        while self._waiting:
            row = self._waiting[0]
            room -= _tokens(row)
            if self._running and room < 0:
                return
            self._waiting.popleft()
            try:
                row.handle = self._request(row.prompt, _config(row.sampling))
            except (RuntimeError, ValueError) as error:
                row.error = last_line(error)
                yield row
            else:
                self._running.append(row)

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
            handle = self._request(prefix, _config(Sampling(1, ())))
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


def _config(sampling: Sampling) -> Any:
    from openvino_genai import GenerationConfig

    config = GenerationConfig(max_new_tokens=sampling.max_new_tokens, ignore_eos=not sampling.stop_ids)
    # The pipeline needs an EOS among the stop tokens, even if it ignores it.
    config.stop_token_ids = set(sampling.stop_ids) or {0}
    config.eos_token_id = min(config.stop_token_ids)
    config.do_sample = sampling.temperature > 0
    if config.do_sample:
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p
        config.rng_seed = sampling.seed % 2**32
    return config


def _tokens(row: Row) -> int:
    return len(row.prompt) + row.sampling.max_new_tokens


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
