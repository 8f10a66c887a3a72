"""The filter `fluency`: the base model judges by a limit that is learnt from the reasoner's training rows."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from whylabel.host.progress import say
from whylabel.pipeline.inputs import Inputs
from whylabel.recipe import FilterConfig
from whylabel.text.hashes import fingerprint, rows_fingerprint
from whylabel.text.prompts import FORMAT_VERSION

if TYPE_CHECKING:
    from whylabel.prediction.fluency import Fluency

_ROWS = 200
Filters = TypeVar("Filters", bound=FilterConfig)


def is_judged(filters: FilterConfig) -> bool:
    """Return whether the filters need the fluency of a reasoning."""
    return "fluency" in filters.names


def judge_identity(inputs: Inputs) -> str:
    """Return a fingerprint of everything that a reasoning's fluency depends on besides the row."""
    recipe = inputs.recipe
    return fingerprint(
        "fluency", inputs.base_fingerprint, recipe.task.question, recipe.prompt_style, FORMAT_VERSION
    )


def limit_key(inputs: Inputs, filters: FilterConfig) -> dict[str, str]:
    """Return the entry of a stage's key that decides the learnt limit; empty if none is learnt."""
    if not is_judged(filters) or filters.min_fluency is not None:
        return {}
    return {"fluency is learnt from": rows_fingerprint(inputs.reasoning_rows[0])}


def open_judge(inputs: Inputs) -> Fluency:
    """Load the base model as a judge."""
    from whylabel.models.load import load
    from whylabel.prediction.fluency import Fluency
    from whylabel.text.prompts import Prompts

    recipe = inputs.recipe
    loaded = load(recipe.base_model, device=recipe.device)
    prompts = Prompts(loaded.tokenizer, recipe.prompt_style, recipe.task.question, recipe.task.name)
    return Fluency(loaded, prompts, recipe.data.max_text_tokens)


def with_fluency_limit(inputs: Inputs, filters: Filters) -> Filters:
    """Return the filters with the limit of `fluency`, learnt from up to 200 rows if it is used and not given."""
    if not is_judged(filters) or filters.min_fluency is not None:
        return filters
    rows, _ = inputs.reasoning_rows
    drawn = random.Random(inputs.recipe.seed).sample(rows, min(_ROWS, len(rows)))
    limit = open_judge(inputs).limit(drawn)
    say(
        f"  fluency: a reasoning needs a mean log-probability of {limit:.2f}, learnt from {len(drawn):,} rows"
    )
    return filters.model_copy(update={"min_fluency": limit})
