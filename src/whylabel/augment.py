"""Stage 2a: a reasoning for every labelled training text, written offline into the durable row store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.engines.base import Completion, Engine, Sampling
from whylabel.filters import apply_filters
from whylabel.progress import progress, say
from whylabel.prompts import Prompt, Prompts, endpoint_prompt
from whylabel.recipe import FilterConfig, Recipe
from whylabel.run_folder import fingerprint
from whylabel.store import ReasoningStore, StoredReasoning
from whylabel.types import Example, FilterResult, ReasonedExample

if TYPE_CHECKING:
    from whylabel.models import ModelSource

_COMMIT_SECONDS = 0.5
# Engines finish rows a batch at a time: what came before the next batch is computed must be on disk.
_COMMIT_ROWS = 8


@dataclass(frozen=True, slots=True)
class Reasoner:
    """What writes the reasonings: an engine, how it is prompted and drawn from, and what identifies it."""

    name: str
    engine: Engine
    ask: Callable[[str, str], Prompt]
    """From a text and its label to the prompt."""
    sampling: Sampling
    identity: str
    """Fingerprint of everything but the row that changes a reasoning: model, prompt format, sampling."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What stage 2a made: rows = kept + dropped + failed."""

    filtered: FilterResult
    failed: tuple[StoredReasoning, ...]
    reused: int
    tokens: int
    seconds: float
    cost: float | None = None
    """What this call cost, where the engine's options give prices."""

    @property
    def rows(self) -> int:
        """How many examples went in."""
        return len(self.filtered.kept) + len(self.filtered.dropped) + len(self.failed)

    def to_json(self) -> dict[str, Any]:
        """Return the figures of `augment/metrics.json`."""
        return {
            "rows": self.rows,
            "kept": len(self.filtered.kept),
            "dropped": len(self.filtered.dropped),
            "failed": len(self.failed),
            "dropped_by_reason": self.filtered.counts(),
            "failures": {row.id: row.error for row in self.failed},
            "reused": self.reused,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 2),
            "cost": self.cost,
        }


def augment(
    examples: Sequence[Example], reasoner: Reasoner, store: ReasoningStore, filters: FilterConfig
) -> Augmentation:
    """Write the reasonings that the store does not have yet, then filter all of them.

    Failed rows are tried again by the next call. Rows in = kept + dropped + failed, or it is our bug.
    """
    started = time.monotonic()
    keys = [row_key(example, reasoner) for example in examples]
    done = store.done_keys()
    wanted: dict[str, Example] = {
        key: example for key, example in zip(keys, examples, strict=True) if key not in done
    }
    reused = len(examples) - sum(key in wanted for key in keys)
    if reused:
        say(f"  {reused:,} of {len(examples):,} rows were written before and are used again")
    tokens, cost = 0, None
    if wanted:
        tokens, cost = _generate(wanted, reasoner, store, total=len(examples), done=reused)
    rows = [_stored(store, key, example) for key, example in zip(keys, examples, strict=True)]
    failed = tuple(row for row in rows if row.state == "failed")
    filtered = apply_filters(_reasoned(examples, rows, reasoner.name), filters)
    outcome = Augmentation(filtered, failed, reused, tokens, time.monotonic() - started, cost)
    assert outcome.rows == len(examples), f"{len(examples)} rows in, {outcome.rows} out"
    return outcome


@contextmanager
def open_reasoner(recipe: Recipe, trained: Path, identity: str) -> Iterator[Reasoner]:
    """Open the reasoner that the recipe means: an endpoint, a ready model, or the one that stage 1 has trained.

    Its engine is closed at the end, however that comes.
    """
    from whylabel.engines import make_engine
    from whylabel.engines.choice import chosen_engine
    from whylabel.models import ModelSource

    source = ModelSource(recipe.reasoner.model or str(trained), recipe.device)
    ask, stop_ids = _asking(recipe, source)
    name, options = chosen_engine(recipe)
    engine = make_engine(name, source, options)
    say(f"  engine {engine.name}{source.place}")
    sampling = recipe.augment.sampling
    try:
        yield Reasoner(
            name=recipe.reasoner.model or "reasoner",
            engine=engine,
            ask=ask,
            sampling=Sampling(
                max_new_tokens=sampling.max_new_tokens,
                stop_ids=stop_ids,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=recipe.seed,
            ),
            identity=identity,
        )
    finally:
        engine.close()


def _asking(recipe: Recipe, source: ModelSource) -> tuple[Callable[[str, str], Prompt], tuple[int, ...]]:
    """Return how a labelled text is asked about, and the tokens that end the answer."""
    question = recipe.task.question
    if recipe.reasoner.endpoint is not None:
        return lambda text, label: endpoint_prompt(text, question, label), ()
    prompts = Prompts(source.tokenizer, recipe.prompt_style, question, recipe.task.name)
    return prompts.reasoner_for_text, tuple(sorted(prompts.stop_ids))


def row_key(example: Example, reasoner: Reasoner) -> str:
    """Return the store's key of a row: everything that changes its reasoning, hashed."""
    return fingerprint(example.text, example.label, reasoner.identity)


def _generate(
    wanted: dict[str, Example], reasoner: Reasoner, store: ReasoningStore, *, total: int, done: int
) -> tuple[int, float | None]:
    keys = list(wanted)
    prompts = [reasoner.ask(example.text, example.label) for example in wanted.values()]
    tokens, cost = 0, None
    pending: list[StoredReasoning] = []
    completions = reasoner.engine.generate(prompts, reasoner.sampling)
    committed_at = time.monotonic()
    with progress("augment", total=total, done=done) as bar:
        try:
            for completion in completions:
                key = keys[completion.index]
                pending.append(_to_store(key, wanted[key].id, completion))
                tokens += completion.tokens
                if completion.cost is not None:
                    cost = (cost or 0.0) + completion.cost
                bar.advance(1, completion.tokens, "" if cost is None else f"cost {cost:.4f}")
                if len(pending) == _COMMIT_ROWS or time.monotonic() - committed_at > _COMMIT_SECONDS:
                    store.put(pending)
                    pending, committed_at = [], time.monotonic()
        finally:
            # Ctrl-C too: what is finished is kept.
            store.put(pending)
    return tokens, cost


def _to_store(key: str, row_id: str, completion: Completion) -> StoredReasoning:
    return StoredReasoning(
        key=key,
        id=row_id,
        state="failed" if completion.finish == "error" else "done",
        reasoning=completion.text,
        finished=completion.finish == "stop",
        error=completion.error,
        prompt_tokens=completion.prompt_tokens,
        tokens=completion.tokens,
    )


def _stored(store: ReasoningStore, key: str, example: Example) -> StoredReasoning:
    row = store.get(key)
    if row is None:
        return StoredReasoning(key, example.id, "failed", error="the engine returned nothing for this row")
    # Equal rows share a key, and with it one stored reasoning.
    return replace(row, id=example.id)


def _reasoned(
    examples: Sequence[Example], rows: Sequence[StoredReasoning], reasoner: str
) -> Iterable[ReasonedExample]:
    for example, row in zip(examples, rows, strict=True):
        if row.state == "done":
            yield ReasonedExample(
                id=example.id,
                text=example.text,
                label=example.label,
                reasoning=row.reasoning,
                reasoner=reasoner,
                finished=row.finished,
            )
