"""What `augment --dry-run` says: real prompts, and time and cost of the rows to write, from a few timed ones."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whylabel.stages.augment.rows import Work, chunks
from whylabel.stages.augment.write import missing
from whylabel.text.hashes import row_hash
from whylabel.text.prompts import Prompt
from whylabel.types import Example

_SHOWN = 3
_TIMED = 16
_COUNTED = 2000


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Estimates for the reasonings to write; all but `rows`, `to_write` and `own` are scaled up from a sample.

    `rows` are for the reasoner; `own` more came with a reasoning and keep it. `prompts` are (text, tokens) of a few
    real prompts; token counts are 0 where an endpoint has no tokenizer here and no row was timed. `cost` is
    None without prices, `seconds` is 0 where there is nothing to write.
    """

    rows: int
    to_write: int
    own: int = 0
    prompts: tuple[tuple[str, int], ...] = ()
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    cost: float | None = None
    failed: int = 0
    """How many of the timed rows failed."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        shown = [{"prompt": text, "tokens": tokens} for text, tokens in self.prompts]
        return {name: getattr(self, name) for name in self.__slots__ if name != "prompts"} | {
            "prompts": shown
        }


def rehearse(examples: Sequence[Example], work: Work) -> Rehearsal:
    """Render and time a few of the rows that `augment` would write under its first condition; nothing is stored."""
    condition = work.conditions[0]
    # Places, not rows: they may be millions.
    wanted = array("q")
    start = rows = own = 0
    for chunk in chunks(examples):
        places = {row_hash(row): at for at, row in enumerate(chunk) if work.writes(row)}
        lacking = missing({row: chunk[at] for row, at in places.items()}, work, condition)
        wanted.extend(start + places[item.row] for item in lacking)
        start += len(chunk)
        rows += sum(map(work.writes, chunk))
        own += sum(bool(row.reasoning) for row in chunk)
    if not wanted:
        return Rehearsal(rows, 0, own)
    drawn = random.Random(work.reasoner.sampling.seed).sample(range(len(wanted)), min(_COUNTED, len(wanted)))
    sample = [examples[wanted[at]] for at in drawn]
    asked = [work.reasoner.ask(row.text, row.label if condition == "label" else None) for row in sample]
    timed = asked[:_TIMED]
    # The engine is opened for its first prompts: none of these are to pay for that.
    list(work.reasoner.engine.generate([], work.reasoner.sampling))
    started = time.monotonic()
    completions = list(work.reasoner.engine.generate(timed, work.reasoner.sampling))
    seconds = max(time.monotonic() - started, 1e-6)
    scale = len(wanted) / len(timed)
    tokens = sum(completion.tokens for completion in completions)
    costs = [completion.cost for completion in completions if completion.cost is not None]
    counted = (
        [len(prompt.ids) for prompt in asked] if asked[0].ids else [row.prompt_tokens for row in completions]
    )
    return Rehearsal(
        rows=rows,
        to_write=len(wanted),
        own=own,
        prompts=tuple((_text(prompt, work), len(prompt.ids)) for prompt in asked[:_SHOWN]),
        prompt_tokens=round(float(np.mean(counted)) * len(wanted)),
        new_tokens=round(tokens * scale),
        seconds=seconds * scale,
        tokens_per_second=tokens / seconds,
        cost=sum(costs) * scale if costs else None,
        failed=sum(completion.finish == "error" for completion in completions),
    )


def _text(prompt: Prompt, work: Work) -> str:
    return work.reasoner.decode(prompt.ids) if prompt.ids else prompt.text
