"""`whylabel train-reasoner`: one stage."""

from __future__ import annotations

from pathlib import Path

import click

from whylabel.cli.options import finish, open_run, recipe_arguments


@click.command("train-reasoner")
@recipe_arguments
def command(
    recipe_path: Path, overrides: tuple[str, ...], output: Path | None, limit: int | None, as_json: bool
) -> int:
    """Stage 1 of RECIPE: train the model that writes a reasoning given a question and its answer."""
    from whylabel.cli.results import print_stage
    from whylabel.pipeline import Pipeline

    recipe, run = open_run(recipe_path, overrides, output, limit)
    pipeline = Pipeline(recipe, run)
    with run.locked():
        pipeline.begin()
        pipeline.train_reasoner()
    print_stage(run.reasoner_metrics, as_json=as_json)
    return finish(pipeline)
