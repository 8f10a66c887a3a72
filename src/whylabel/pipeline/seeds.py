"""The rows to write a reasoning for: of a run that has reasonings, or of a recipe's data."""

from __future__ import annotations

from pathlib import Path

from whylabel.errors import UsageError
from whylabel.pipeline.inputs import Inputs
from whylabel.reasonings.review import review_rows
from whylabel.reasonings.seeds import seed_rows
from whylabel.recipe import Recipe, load_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages.augment.rows import OWN
from whylabel.types import Example


def seeds_of_run(path: Path, count: int) -> tuple[list[Example], str]:
    """Return up to `count` rows of a run that no person has written or accepted a reasoning for, and the question.

    Raises `RunFolderError` if the run has no reasonings yet.
    """
    run = RunFolder(path)
    open_rows: list[Example] = []
    written: list[Example] = []
    for row in review_rows(run):
        if row.state == "failed":
            continue
        theirs = row.reasoner == OWN or row.verdict in ("accepted", "edited")
        (written if theirs else open_rows).append(Example(row.id, row.text, row.label))
    recipe = load_recipe(run.recipe) if run.recipe.exists() else Recipe()
    return seed_rows(open_rows, count, recipe.seed, written=written), recipe.task.question


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
