"""What `generation.py` measures of ours, and what it asks of every contestant.

A contestant has a `name`, and a `note` on how it ran. `prepare` is not timed: it loads the model and generates for a
few unrelated prompts. `run` is timed. `forget` comes after it and drops all that is cached of the prompts. `close`
frees everything.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from whylabel.engines import Engine, Sampling, loops, make_engine
from whylabel.models.load import ModelSource
from whylabel.reasonings.store import open_store
from whylabel.recipe import AugmentConfig
from whylabel.stages.augment import Reasoner, augment
from whylabel.stages.augment import Work as StageWork
from whylabel.text.prompts import Prompt, Prompts
from whylabel.types import Example


@dataclass(frozen=True)
class Row:
    """A labelled text and the reasoner's prompt for it."""

    example: Example
    prompt: Prompt

    @property
    def ids(self) -> list[int]:
        """The prompt's tokens."""
        return list(self.prompt.ids)


@dataclass(frozen=True)
class Work:
    """What all contestants share. `scratch` is a folder for what they make; `trial` are rows to try settings on."""

    model: ModelSource
    prompts: Prompts
    new_tokens: int
    threads: int
    scratch: Path
    trial: Sequence[Row]
    vllm_python: str | None = None

    def text(self, ids: Sequence[int]) -> str:
        """Return generated ids as text, after a check that there are as many as were asked for."""
        self.check(len(ids))
        return str(self.prompts.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def check(self, tokens: int) -> None:
        """Raise `RuntimeError` unless a row has as many new tokens as were asked for."""
        if tokens != self.new_tokens:
            raise RuntimeError(f"a row has {tokens} new tokens instead of {self.new_tokens}")

    def unrelated(self) -> list[Row]:
        """Return a few rows of random tokens, which share nothing with any prompt."""
        import numpy as np

        ids = np.random.default_rng(0).integers(0, self.model.config.vocab_size, (4, 40)).tolist()
        return [Row(Example(f"unrelated-{at}", "", ""), Prompt(tuple(row))) for at, row in enumerate(ids)]


def let_loops_run() -> None:
    """Let our engines write on where a row repeats itself, as the peers do: all are to write as many tokens."""
    loops._LOOPS.clear()


class Contestant(Protocol):
    """Something that generates."""

    name: str
    note: str

    def prepare(self) -> None:
        """Get ready; what is ready already stays so."""

    def run(self, rows: Sequence[Row]) -> list[str]:
        """Return what was generated for each row, greedily, `new_tokens` long."""

    def forget(self) -> None:
        """Drop what is cached of the prompts that were run."""

    def close(self) -> None:
        """Free everything; it may be called twice."""


class Ours:
    """An engine of whylabel, opened anew for every measurement, so that its prefix cache is empty."""

    def __init__(self, work: Work, name: str, engine: str, **options: Any) -> None:
        self.name = name
        self.note = ""
        self._work = work
        self._engine_name, self._options = engine, options
        self._engine: Engine | None = None
        self._sampling = Sampling(work.new_tokens, stop_ids=())

    def prepare(self) -> None:
        """Open the engine."""
        self._engine = make_engine(self._engine_name, self._work.model, self._options)
        self.note = ", ".join([self._engine.name, *map(str, self._options.values())])
        Ours.run(self, self._work.unrelated())

    def run(self, rows: Sequence[Row]) -> list[str]:
        """Generate with the engine alone."""
        assert self._engine is not None
        texts = [""] * len(rows)
        for completion in self._engine.generate([row.prompt for row in rows], self._sampling):
            if completion.error:
                raise RuntimeError(completion.error)
            self._work.check(completion.tokens)
            texts[completion.index] = completion.text
        return texts

    def forget(self) -> None:
        """Close the engine, and its prefix cache with it."""
        self.close()

    def close(self) -> None:
        """Close the engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


class Verb(Ours):
    """The stage that the verb `augment` runs, with the engine that `auto` picks: durable store, filters, Parquet."""

    def run(self, rows: Sequence[Row]) -> list[str]:
        """Write the reasonings into a new store, then sort them into files."""
        assert self._engine is not None
        reasoner = Reasoner(
            "benchmark", self._engine, self._work.prompts.reasoner_for_text, self._sampling, {}
        )
        examples = [row.example for row in rows]
        with tempfile.TemporaryDirectory(dir=self._work.scratch) as scratch:
            folder = Path(scratch)
            with open_store(folder / "store.sqlite") as store:
                stage = StageWork(reasoner, store, AugmentConfig())
                files = {"kept": folder / "train.parquet", "dropped": folder / "dropped.parquet"}
                outcome = augment(examples, stage, **files)
        assert outcome.written.tokens == self._work.new_tokens * len(rows)
        return []
