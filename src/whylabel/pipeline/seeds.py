"""The rows to write a reasoning for: of a run that has reasonings, or of a recipe's data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from whylabel.errors import UsageError
from whylabel.pipeline.inputs import Inputs
from whylabel.reasonings.review import review_rows
from whylabel.reasonings.seeds import own_margins, seed_rows
from whylabel.recipe import Recipe, load_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages.augment.rows import OWN
from whylabel.stages.augment.sort import SUSPECT
from whylabel.stages.folds import read_out_of_fold
from whylabel.types import Example

_LEAST = 1e-9
"""Smaller probabilities count as this one: their logarithms must be finite."""


def seeds_of_run(path: Path, count: int) -> tuple[list[Example], str]:
    """Return up to `count` rows of a run that no person has written or accepted a reasoning for, and the question.

    Failed rows and suspect labels are not among them. Raises `RunFolderError` if the run has no reasonings yet.
    """
    run = RunFolder(path)
    open_rows: list[Example] = []
    written: list[Example] = []
    verified: dict[str, float] = {}
    for row in review_rows(run):
        theirs = row.reasoner == OWN or row.verdict in ("accepted", "edited")
        if row.state == "failed" or (row.reason == SUSPECT and not theirs):
            continue
        (written if theirs else open_rows).append(Example(row.id, row.text, row.label))
        if row.margin is not None:
            verified[row.id] = row.margin
    recipe = load_recipe(run.recipe) if run.recipe.exists() else Recipe()
    margins = _baseline_margins(run, open_rows) or verified
    return seed_rows(open_rows, count, recipe.seed, written=written, margins=margins), recipe.task.question


def _baseline_margins(run: RunFolder, rows: Sequence[Example]) -> dict[str, float]:
    """Return by id the margins of the baselines that were trained without these rows, if the run has any."""
    if not run.out_of_fold.exists():
        return {}
    labels = list((run.saved_manifest().get("data") or {}).get("labels", ()))
    found = read_out_of_fold(run.out_of_fold)
    place_of = {row_id: place for place, row_id in enumerate(found.ids)}
    known = [row for row in rows if row.id in place_of and row.label in labels]
    if not known or found.probabilities.shape[1] != len(labels):
        return {}
    probabilities = found.probabilities[[place_of[row.id] for row in known]]
    own = np.array([labels.index(row.label) for row in known])
    margins = own_margins(np.log(np.maximum(probabilities, _LEAST)), own)
    return dict(zip([row.id for row in known], margins.tolist(), strict=True))


def seeds_of_recipe(path: Path, count: int) -> tuple[list[Example], str]:
    """Return up to `count` train rows of a recipe that came without a reasoning, and the question.

    Raises what reading the data raises.
    """
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(
            "This is neither a run folder nor a recipe (.yaml).",
            where=str(path),
            fix="name one: whylabel reasonings RUN --seed N",
        )
    recipe = load_recipe(path)
    train = Inputs(recipe).dataset.train
    open_rows = [row for row in train if not row.reasoning]
    written = [row for row in train if row.reasoning]
    return seed_rows(open_rows, count, recipe.seed, written=written), recipe.task.question
