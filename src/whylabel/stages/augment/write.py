"""Write the reasonings that the store lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from whylabel.engines.base import Completion
from whylabel.host.progress import Progress, progress, say
from whylabel.reasonings.filters import refusal
from whylabel.reasonings.store import StoredReasoning
from whylabel.reasonings.writer import Writer
from whylabel.stages.augment.rows import Work, chunks
from whylabel.stages.augment.sort import accepted_rows
from whylabel.text.hashes import fingerprint, row_hash
from whylabel.types import Condition, Example


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: `reused` rows needed no work; `cost` is None where the engine's options give no prices.

    `failed_retries` counts the tries that failed where what was cut before is still there.
    """

    reused: int = 0
    tokens: int = 0
    cost: float | None = None
    failed_retries: int = 0

    def plus(self, tokens: int, cost: float | None) -> Written:
        """Return the sum."""
        known = cost is not None or self.cost is not None
        summed = (self.cost or 0) + (cost or 0) if known else None
        return replace(self, tokens=self.tokens + tokens, cost=summed)


def write_reasonings(examples: Sequence[Example], work: Work, condition: Condition) -> Written:
    """Write what the store lacks under a condition.

    A fall-back condition is for the rows that have no acceptable reasoning under the preferred one.
    """
    fall_back = condition != work.conditions[0]
    total = sum(map(work.writes, examples))
    written = Written(0 if fall_back else _announce(examples, work, condition, total))
    if written.reused == total:
        return written
    title = "augment: fall-back" if fall_back else "augment"
    refuse = refusal(work.config.filters)
    with (
        progress(title, total=total, done=written.reused) as bar,
        work.store.writer(work.settings) as writer,
    ):
        for chunk in chunks(examples):
            settled = accepted_rows(chunk, work, work.conditions[0], refuse) if fall_back else set()
            wanted_rows = [row for row in chunk if work.writes(row)]
            rows = {row_hash(row): row for row in wanted_rows}
            open_rows = {row: example for row, example in rows.items() if row not in settled}
            wanted = missing(open_rows, work, condition)
            if fall_back:
                bar.advance(len(wanted_rows) - len({place.row for place in wanted}))
            if wanted:
                written = _write_chunk(open_rows, wanted, work, writer, bar, written)
                writer.flush()
    if written.failed_retries:
        say(f"  {written.failed_retries:,} tries failed; the reasonings that were cut before are still there")
    return written


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return what changed between two settings: `temperature 0.7 -> 0.2, question 'a' -> 'b'`."""
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return ", ".join(f"{name} {old.get(name)!r} -> {new.get(name)!r}" for name in names)


def missing(rows: Mapping[str, Example], work: Work, condition: Condition) -> list[StoredReasoning]:
    """Return a place to fill for every reasoning that the rows lack, or that is to be tried again.

    Its state is that of what holds there now; `failed` where nothing does.
    """
    stored = work.stored(list(rows))
    lacking = [
        (row, condition, candidate)
        for row in rows
        for candidate in range(work.config.candidates)
        if _is_to_write(stored.get((row, condition, candidate)), work)
    ]
    attempts = work.store.attempts(list({place[0] for place in lacking}), work.settings) if lacking else {}
    states = {place: stored[place].state for place in lacking if place in stored}
    return [
        StoredReasoning(
            *place, rows[place[0]].id, states.get(place, "failed"), attempts=attempts.get(place, 0)
        )
        for place in lacking
    ]


def _is_to_write(stored: StoredReasoning | None, work: Work) -> bool:
    if stored is None:
        return True
    if stored.state == "failed":
        return "failed" in work.retry
    return not stored.finished and "length" in work.retry


def _write_chunk(
    rows: Mapping[str, Example],
    wanted: Sequence[StoredReasoning],
    work: Work,
    writer: Writer[StoredReasoning],
    bar: Progress,
    written: Written,
) -> Written:
    """Fill the places, and return what has been written by now."""
    reasoner = work.reasoner
    prompts = []
    for place in wanted:
        example = rows[place.row]
        prompts.append(reasoner.ask(example.text, example.label if place.condition == "label" else None))
    first = wanted[0]
    # The engine draws equal prompts of one call differently; the seed does so for those of different calls.
    seed = fingerprint(reasoner.sampling.seed, *first.place, first.attempts)
    sampling = replace(reasoner.sampling, seed=int(seed[:8], 16))
    left = Counter(place.row for place in wanted)
    for completion in reasoner.engine.generate(prompts, sampling):
        place = wanted[completion.index]
        writer.put(_filled(place, completion, sampling.max_new_tokens))
        written = written.plus(completion.tokens, completion.cost)
        if completion.finish == "error" and place.state == "done":
            written = replace(written, failed_retries=written.failed_retries + 1)
        left[place.row] -= 1
        note = "" if written.cost is None else f"cost {written.cost:.4f}"
        bar.advance(int(left[place.row] == 0), completion.tokens, note)
    return written


def _filled(place: StoredReasoning, completion: Completion, token_limit: int) -> StoredReasoning:
    # Not `replace`: this is done for every row.
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


def _announce(examples: Sequence[Example], work: Work, condition: Condition, total: int) -> int:
    """Say how many of `total` rows need no work, and how many run again and why; return how many need none."""
    if not len(work.store):
        return 0
    lacking = again = 0
    changed: Counter[int] = Counter()
    for chunk in chunks(examples):
        open_rows = [example for example in chunk if work.writes(example)]
        hashes = [row_hash(example) for example in open_rows]
        wanted = missing(dict(zip(hashes, open_rows, strict=True)), work, condition)
        rows = {place.row for place in wanted}
        fresh = rows - {place.row for place in wanted if place.attempts}
        again += len(rows) - len(fresh)
        lacking += sum(row in rows for row in hashes)
        changed.update(work.store.written_otherwise(list(fresh), work.settings))
    reused = total - lacking
    if reused:
        say(f"  {reused:,} of {total:,} rows were written before and need no work")
    if again:
        limit = f"max_new_tokens is now {work.token_limit}"
        say(f"  {again:,} rows run again: {' and '.join(sorted(work.retry)) or limit}")
    every = work.store.settings() if changed else {}
    for number, count in changed.most_common():
        why = differences(every[number], every[work.settings])
        say(f"  {count:,} rows run again because {why}")
    return reused
