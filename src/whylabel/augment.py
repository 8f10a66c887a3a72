"""Stage 2a: reasonings for every labelled training text, written offline into the durable row store.

Rows pass through a few thousand at a time, so that memory does not grow with the data. First what the store does
not have is written (`write_reasonings`), then everything that it has is filtered into the two Parquet files
(`sort_reasonings`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from whylabel.engines.base import Completion, Engine, Sampling
from whylabel.filters import refusal
from whylabel.progress import Progress, progress, say
from whylabel.prompts import Prompt
from whylabel.reasoned_rows import dropped_rows, kept_rows
from whylabel.recipe import AugmentConfig
from whylabel.run_folder import fingerprint
from whylabel.store import Condition, ReasoningStore, StoredReasoning, Writer
from whylabel.types import Dropped, Example, ReasonedExample

Retry = Literal["failed", "length"]

_CHUNK_ROWS = 4096
_FAILURES_LISTED = 1000
_NOTHING = "the engine returned nothing for this row"


@dataclass(frozen=True, slots=True)
class Reasoner:
    """What writes the reasonings: an engine, how it is asked and drawn from, and what its output depends on."""

    name: str
    engine: Engine
    ask: Callable[[str, str | None], Prompt]
    """From a text and its label (None: without it) to the prompt."""
    sampling: Sampling
    settings: Mapping[str, Any]
    """Everything but row and token limit that changes a reasoning: model, prompt format, sampling."""


@dataclass(slots=True)
class Augmentation:
    """What stage 2a made: rows = kept + dropped + failed."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows by the reason against them."""
    failed: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    """Row id to error, of the first thousand failed rows."""
    reused: int = 0
    tokens: int = 0
    seconds: float = 0.0
    content: str = ""
    """SHA-256 over the kept rows."""

    @property
    def rows(self) -> int:
        """How many examples went in."""
        return self.kept + self.dropped.total() + self.failed

    def to_json(self) -> dict[str, Any]:
        """Return the figures of `augment/metrics.json`."""
        return {
            "rows": self.rows,
            "kept": self.kept,
            "dropped": self.dropped.total(),
            "failed": self.failed,
            "dropped_by_reason": dict(self.dropped.most_common()),
            "failures": self.failures,
            "reused": self.reused,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 2),
        }


def augment(
    examples: Sequence[Example],
    reasoner: Reasoner,
    store: ReasoningStore,
    config: AugmentConfig,
    *,
    kept: Path,
    dropped: Path,
    retry: frozenset[Retry] = frozenset(),
) -> Augmentation:
    """Write the reasonings that the store does not have yet, then sort all of them into `kept` and `dropped`.

    `retry` names what is written again although it is there: rows that failed, rows that the token limit cut.
    Rows in = kept + dropped + failed, or it is our bug.
    """
    started = time.monotonic()
    work = _Work(reasoner, store, store.settings_number(reasoner.settings), config.candidates, retry)
    reused, tokens = write_reasonings(examples, work)
    outcome = sort_reasonings(examples, work, config, kept, dropped)
    assert outcome.rows == len(examples), f"{len(examples)} rows in, {outcome.rows} out"
    outcome.reused, outcome.tokens, outcome.seconds = reused, tokens, time.monotonic() - started
    return outcome


def row_hash(example: Example) -> str:
    """Return what stands for a row in the store: equal texts with equal labels are one row."""
    return fingerprint(example.text, example.label)[:32]


# -- writing -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Work:
    """What stays the same over all rows of a call."""

    reasoner: Reasoner
    store: ReasoningStore
    settings: int
    candidates: int
    retry: frozenset[Retry]
    condition: Condition = "label"

    def missing(self, rows: Mapping[str, Example]) -> list[StoredReasoning]:
        """Return a place to fill for every reasoning that rows, by their hash, lack; equal rows share theirs."""
        stored = self.store.find(list(rows), self.settings)
        wanted = []
        for row, example in rows.items():
            for candidate in range(self.candidates):
                there = stored.get((row, self.condition, candidate))
                if there is None or not self._holds(there):
                    attempts = there.attempts if there else 0
                    wanted.append(
                        StoredReasoning(
                            row, self.condition, candidate, example.id, "failed", attempts=attempts
                        )
                    )
        return wanted

    def _holds(self, stored: StoredReasoning) -> bool:
        if stored.state == "failed":
            return "failed" not in self.retry
        limit = self.reasoner.sampling.max_new_tokens
        if stored.finished:
            # It ended by itself: a limit above its length changes nothing.
            return stored.tokens <= limit
        return stored.token_limit == limit and "length" not in self.retry


def write_reasonings(examples: Sequence[Example], work: _Work) -> tuple[int, int]:
    """Write what the store lacks; return how many rows it had already, and the tokens written."""
    reused = _announce(examples, work)
    tokens = 0
    if reused == len(examples):
        return reused, tokens
    with (
        progress("augment", total=len(examples), done=reused) as bar,
        work.store.writer(work.settings) as writer,
    ):
        for chunk in _chunks(examples):
            rows = {row_hash(example): example for example in chunk}
            wanted = work.missing(rows)
            if wanted:
                tokens += _write_chunk(rows, wanted, work, writer, bar)
                writer.flush()
    return reused, tokens


def _write_chunk(
    rows: Mapping[str, Example],
    wanted: Sequence[StoredReasoning],
    work: _Work,
    writer: Writer,
    bar: Progress,
) -> int:
    reasoner = work.reasoner
    prompts = []
    for place in wanted:
        example = rows[place.row]
        prompts.append(reasoner.ask(example.text, example.label if place.condition == "label" else None))
    first = wanted[0]
    # Equal prompts of one call are drawn apart by the engine; those of another call by their first place.
    seed = fingerprint(reasoner.sampling.seed, *first.place, first.attempts)
    sampling = replace(reasoner.sampling, seed=int(seed[:8], 16))
    left = Counter(place.row for place in wanted)
    tokens = 0
    for completion in reasoner.engine.generate(prompts, sampling):
        place = wanted[completion.index]
        writer.put(_filled(place, completion, sampling.max_new_tokens))
        tokens += completion.tokens
        left[place.row] -= 1
        bar.advance(int(left[place.row] == 0), completion.tokens)
    return tokens


def _filled(place: StoredReasoning, completion: Completion, token_limit: int) -> StoredReasoning:
    return StoredReasoning(
        place.row,
        place.condition,
        place.candidate,
        place.id,
        state="failed" if completion.finish == "error" else "done",
        reasoning=completion.text,
        finished=completion.finish == "stop",
        token_limit=token_limit,
        error=completion.error,
        prompt_tokens=completion.prompt_tokens,
        tokens=completion.tokens,
        attempts=place.attempts + 1,
    )


def _announce(examples: Sequence[Example], work: _Work) -> int:
    """Say how many rows are used again, and how many run again and why; return the former."""
    if not len(work.store):
        return 0
    lacking = 0
    changed: Counter[int] = Counter()
    again = 0
    for chunk in _chunks(examples):
        hashes = [row_hash(example) for example in chunk]
        wanted = work.missing(dict(zip(hashes, chunk, strict=True)))
        fresh = {place.row for place in wanted if not place.attempts}
        again += len({place.row for place in wanted} - fresh)
        rows = {place.row for place in wanted}
        lacking += sum(row in rows for row in hashes)
        changed.update(work.store.written_otherwise(list(fresh), work.settings))
    reused = len(examples) - lacking
    if reused:
        say(f"  {reused:,} of {len(examples):,} rows were written before and need no work")
    if again:
        limit = f"max_new_tokens is now {work.reasoner.sampling.max_new_tokens}"
        say(f"  {again:,} rows run again: {' and '.join(sorted(work.retry)) or limit}")
    every = work.store.settings() if changed else {}
    for number, count in changed.most_common():
        why = differences(every[number], every[work.settings])
        say(f"  {count:,} rows run again because {why}")
    return reused


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return what changed between two settings: `temperature 0.7 -> 0.2, question 'a' -> 'b'`."""
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return ", ".join(f"{name} {old.get(name)!r} -> {new.get(name)!r}" for name in names)


def _chunks(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    return (examples[start : start + _CHUNK_ROWS] for start in range(0, len(examples), _CHUNK_ROWS))


# -- sorting -----------------------------------------------------------------------------------------------


def sort_reasonings(
    examples: Sequence[Example], work: _Work, config: AugmentConfig, kept: Path, dropped: Path
) -> Augmentation:
    """Write every row to one of the two files, in the order of the examples, and return the counts.

    Of several candidates the first that every filter lets pass is kept; where none passes, the first stands for
    all, with the reason against it.
    """
    refuse = refusal(config.filters)
    outcome = Augmentation()
    digest = hashlib.sha256()
    with kept_rows(kept) as keep, dropped_rows(dropped) as drop:
        for chunk in _chunks(examples):
            hashes = [row_hash(example) for example in chunk]
            stored = work.store.find(hashes, work.settings)
            for example, row_key in zip(chunk, hashes, strict=True):
                candidates = _candidates(example, row_key, stored, work)
                if not candidates:
                    outcome.failed += 1
                    if len(outcome.failures) < _FAILURES_LISTED:
                        outcome.failures[example.id] = _error(row_key, stored, work)
                    continue
                reasons = [refuse(row) for row in candidates]
                passed = [row for row, reason in zip(candidates, reasons, strict=True) if reason is None]
                if passed:
                    outcome.kept += 1
                    row = _with_candidates(passed)
                    digest.update(json.dumps([row.id, row.text, row.label, row.reasoning]).encode() + b"\n")
                    keep(row)
                else:
                    outcome.dropped[str(reasons[0])] += 1
                    drop(Dropped(candidates[0], str(reasons[0])))
    outcome.content = digest.hexdigest()
    return outcome


def _candidates(
    example: Example, row_key: str, stored: Mapping[Any, StoredReasoning], work: _Work
) -> list[ReasonedExample]:
    places = ((row_key, work.condition, candidate) for candidate in range(work.candidates))
    found = (stored.get(place) for place in places)
    return [
        ReasonedExample(
            id=example.id,
            text=example.text,
            label=example.label,
            reasoning=row.reasoning,
            reasoner=work.reasoner.name,
            finished=row.finished,
            condition=row.condition,
        )
        for row in found
        if row is not None and row.state == "done"
    ]


def _with_candidates(passed: Sequence[ReasonedExample]) -> ReasonedExample:
    if len(passed) == 1:
        return passed[0]
    return replace(passed[0], candidates=tuple(row.reasoning for row in passed))


def _error(row_key: str, stored: Mapping[Any, StoredReasoning], work: _Work) -> str:
    row = stored.get((row_key, work.condition, 0))
    return (row.error if row is not None else None) or _NOTHING
