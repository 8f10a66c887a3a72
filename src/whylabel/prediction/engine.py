"""The engine with which a trained model writes reasonings, made when the first ones are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from whylabel.engines import make_engine, options_of, pick_engine, spread
from whylabel.engines.base import Completion, Engine, Sampling
from whylabel.engines.check import named_after
from whylabel.engines.transformers import TransformersEngine, WrittenBatch
from whylabel.host.progress import say
from whylabel.models.load import LoadedModel, ModelSource
from whylabel.recipe import PredictionEngineConfig
from whylabel.text.prompts import Prompt

_QUEUED_ROWS = 2048
"""Rows that an engine with a queue of its own gets at once. It waits for the last rows of each call."""


class PredictionEngine:
    """The engine that `config` names, for a trained model that is in memory.

    `auto` is decided when it is known how much is to be written. `setting` is where its user has set it, for
    messages.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        config: PredictionEngineConfig | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        setting: str = "classifier.engine",
    ) -> None:
        self._source = ModelSource.of(loaded)
        self._config = config or PredictionEngineConfig()
        self._options = dict(options or {})
        if self._config.name in ("auto", "openvino"):
            # In bf16 the other rows of a batch change what is written, and with it a label.
            self._options.setdefault("precision", "float32")
        self._setting = setting
        self._engine: Engine | None = None
        self.name = self._config.name

    @property
    def queued_rows(self) -> int | None:
        """How many rows it is given at once; None: as many as are computed together."""
        return None if self._engine is None or self._engine.name == "transformers" else _QUEUED_ROWS

    def open(self, tokens: int) -> None:
        """Get ready to write about this many tokens at most. Raises `EngineError` if the engine cannot be had."""
        config = self._config
        if self._engine is not None and (config.name != "auto" or self._engine.name != "transformers"):
            return
        with named_after(self._setting):
            if config.distributed:
                self._engine = spread(config.name, self._source, self._options, config)
                self.name = self._engine.name
                return
            name, reason = config.name, ""
            if name == "auto":
                name, reason = pick_engine(self._source, tokens)
            if self._engine is not None and name == self._engine.name:
                return
            if reason and name != "transformers":
                say(f"  engine auto is {name}: {reason}")
            self._engine = make_engine(name, self._source, options_of(name, self._options))
            self.name = name

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        inspect: Callable[[WrittenBatch], None] | None = None,
    ) -> Iterator[Completion]:
        """Yield completions as they finish; `inspect` is that of the engine transformers, others have none."""
        if self._engine is None:
            self.open(len(prompts) * sampling.max_new_tokens)
        assert self._engine is not None
        with named_after(self._setting):
            if isinstance(self._engine, TransformersEngine):
                yield from self._engine.generate(prompts, sampling, inspect)
            else:
                yield from self._engine.generate(prompts, sampling)

    def close(self) -> None:
        """Free the engine; it is made again when it is wanted again."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
