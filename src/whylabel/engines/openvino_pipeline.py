"""OpenVINO's continuous batching, a step at a time: token ids in, token ids out, rows as they finish."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from whylabel.engines.base import Sampling
from whylabel.errors import EngineError
from whylabel.host.runtime import last_line, prepare_process

_BLOCK_TOKENS = 32
"""Tokens of a cache block on a CPU. Only whole blocks may be shared: OpenVINO (2026.4) lets rows that share a part of
a block write into it all at once, and every one of them then reads the others' tokens."""
_ROWS_PER_STEP = 256
"""The more rows share a pass over the weights, the nearer a step comes to the machine's arithmetic."""
_TOKENS_PER_STEP = 1024
"""Enough for full-speed products; a step, during which nothing can be heard or stopped, stays under seconds."""


Ids = tuple[int, ...]


@dataclass(slots=True, eq=False)
class Row:
    """A prompt on its way. When it is yielded, it has `generated` ids (with the stop token) or an `error`."""

    index: int
    prompt: Ids
    generated: Sequence[int] = ()
    error: str | None = None
    seconds: float = 0.0
    handle: Any = None


class PagedPipeline:
    """An exported model, ready to generate in fp32 on so many threads.

    `tokens_in_flight` bounds the prompt and new tokens of the rows that are computed together, and with them the
    memory of their keys and values.
    """

    def __init__(self, folder: Path, *, vocab_size: int, tokens_in_flight: int, threads: int) -> None:
        prepare_process()
        import openvino_genai

        scheduler = openvino_genai.SchedulerConfig()
        # 0: the cache grows as rows need it. With a fixed size, a prompt that is longer makes every row come back
        # empty, without an error.
        scheduler.cache_size = 0
        scheduler.enable_prefix_caching = True
        scheduler.max_num_seqs = _ROWS_PER_STEP
        scheduler.max_num_batched_tokens = _TOKENS_PER_STEP
        # By default keys and values are kept in 8 bits, and some CPUs compute in bf16: other tokens come out.
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
                fix="remove the folder and it is made again, or set augment.engine: transformers",
            ) from error
        self._vocab_size = vocab_size
        self._tokens_in_flight = tokens_in_flight
        self._request_ids = count()

    def run(self, prompts: Sequence[Ids], sampling: Sampling) -> Generator[Row]:
        """Yield every row when it is done, in any order. Closing the iterator drops those that are not.

        Raises `EngineError` if the pipeline itself breaks.
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
        """Move waiting rows to the running ones while there is room; yield those that are refused."""
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

        # OpenVINO would read beyond its tables.
        if not prompt or not 0 <= min(prompt) <= max(prompt) < self._vocab_size:
            raise ValueError("the prompt is empty, or has a token that the model does not know")
        ids = Tensor(np.array([prompt], dtype=np.int64))
        return self._pipeline.add_request(next(self._request_ids), ids, config)

    def _cache_prefix(self, prompts: Sequence[Ids]) -> float:
        """Compute what all prompts start with, once and first; return the seconds it took.

        Rows that come together cannot share a prefix that none of them has computed yet.
        """
        shared = _shared_prefix(prompts) if len(prompts) > 1 else ()
        prefix = shared[: len(shared) // _BLOCK_TOKENS * _BLOCK_TOKENS]
        if not prefix:
            return 0.0
        seconds = 0.0
        try:
            handle = self._request(prefix, _config(Sampling(1, ()), 0))
        except (RuntimeError, ValueError):
            return seconds  # the rows will say what is wrong, each for itself
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
                fix="run again, what is finished is kept; or set augment.engine: transformers",
            ) from error
        return time.monotonic() - started


def _config(sampling: Sampling, index: int) -> Any:
    from openvino_genai import GenerationConfig

    config = GenerationConfig(max_new_tokens=sampling.max_new_tokens, ignore_eos=not sampling.stop_ids)
    # The pipeline wants an EOS among the stop tokens, even where it is to ignore it.
    config.stop_token_ids = set(sampling.stop_ids) or {0}
    config.eos_token_id = min(config.stop_token_ids)
    config.do_sample = sampling.temperature > 0
    if config.do_sample:
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p
        # A seed of its own for each row, or equal prompts are drawn alike.
        config.rng_seed = (sampling.seed + index) % 2**32
    return config


def _is_running(handle: Any) -> bool:
    from openvino_genai import GenerationStatus

    return bool(handle.get_status() == GenerationStatus.RUNNING)


def _is_done(row: Row) -> bool:
    """Return whether the row has ended, and take over what it has generated."""
    if _is_running(row.handle):
        return False
    outputs = row.handle.read_all() if row.handle.can_read() else []
    row.generated = outputs[0].generated_ids if outputs else ()
    if not row.generated:
        row.error = f"OpenVINO gave nothing back (status {row.handle.get_status().name})"
    return True


def _shared_prefix(prompts: Sequence[Ids]) -> Ids:
    # What the first and the last in order share, all between them share, too.
    first, last = min(prompts), max(prompts)
    for place, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:place]
    return first
