"""What rivals of the two models say of the test rows: other models that learn the labels from the same rows.

Their answers are kept as those of the models are, so that a rival is not trained again where only another model has
changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from whylabel.host.progress import progress
from whylabel.pipeline.answers import answers_file, ask, read_answers
from whylabel.pipeline.job import Job
from whylabel.text.hashes import fingerprint
from whylabel.text.prompts import FORMAT_VERSION, Prompts
from whylabel.types import Example, Prediction

if TYPE_CHECKING:
    from whylabel.evaluation.evaluate import Measures
    from whylabel.models.load import LoadedModel

_VERSION = 1
"""Of how the rivals learn: another one makes kept answers void."""

Rival = Callable[[Job, "Measures"], Sequence[Prediction]]


def rival_answers(job: Job, measures: Measures) -> dict[str, list[Prediction]]:
    """Return the predictions of each rival that the recipe names; none without train rows."""
    names = list(job.inputs.recipe.evaluation.rivals)
    return {name: _answers(job, measures, name) for name in names if job.inputs.dataset.train}


def _answers(job: Job, measures: Measures, name: str) -> list[Prediction]:
    kept = answers_file(job.run.answers, name, _key(job, name))
    rows = [(row.id, row.text) for row in job.inputs.dataset.test]
    known = read_answers(kept)
    if len(known) < len(rows):
        kept.unlink(missing_ok=True)
        said = _RIVALS[name](job, measures)
        return [one["fast"] for one in ask(kept, rows, {}, lambda _rows: ({"fast": p} for p in said))]
    return [known[row_id]["fast"] for row_id, _ in rows]


def _key(job: Job, name: str) -> str:
    """Return a hash of everything that decides what a rival answers."""
    inputs, recipe = job.inputs, job.inputs.recipe
    return fingerprint(
        *(name, _VERSION, FORMAT_VERSION, inputs.base_fingerprint, list(inputs.labels.names), recipe.seed),
        *(inputs.data_fingerprints[split] for split in ("train", "test")),
        *(recipe.task.type, recipe.task.label_separator, recipe.task.name, recipe.task.question),
        *(recipe.prompt_style, recipe.data.max_text_tokens),
    )


def _embeddings(job: Job, measures: Measures) -> Sequence[Prediction]:
    """Learn a logistic regression on what the untrained base model makes of the texts."""
    from whylabel.evaluation.floors import on_vectors
    from whylabel.models.load import load
    from whylabel.prediction.embeddings import embed

    inputs, recipe = job.inputs, job.inputs.recipe
    train, test = inputs.dataset.train, inputs.dataset.test
    loaded = load(recipe.base_model, device=recipe.device)
    rows = [*train, *test]
    prompts = prompts_of(job, loaded, rows)
    with progress("evaluate embeddings", total=len(rows)) as bar:
        vectors = embed(loaded, prompts, bar.advance)
    found = {(row.id, row.text): vector for row, vector in zip(rows, vectors, strict=True)}
    return measures.learnt(on_vectors(found), train, test, inputs.labels, recipe.seed)


def prompts_of(job: Job, loaded: LoadedModel, rows: Sequence[Example]) -> list[list[int]]:
    """Return the prompts of the baseline for rows: token ids, trimmed to what the recipe and the model allow."""
    from whylabel.models.capabilities import positions_of

    recipe, multi_label = job.inputs.recipe, job.inputs.multi_label
    prompts = Prompts(loaded.tokenizer, recipe.prompt_style, recipe.task.question, recipe.task.name)
    whole = prompts.decision_prefix if multi_label else lambda text: prompts.classifier(text, "label")
    positions = positions_of(loaded.model)
    room = None if positions is None else positions - len(whole("a")) - _SPARE_TOKENS
    limits = [limit for limit in (recipe.data.max_text_tokens, room) if limit is not None]
    limit = min(limits, default=None)
    return [whole(row.text if limit is None else prompts.trim(row.text, limit)) for row in rows]


# At its borders a text may be encoded in other tokens than by itself.
_SPARE_TOKENS = 8
_RIVALS: dict[str, Rival] = {"embeddings": _embeddings}
