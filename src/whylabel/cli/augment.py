"""`whylabel augment`: one stage."""

from __future__ import annotations

from pathlib import Path

import click

from whylabel.cli.options import finish, open_run, recipe_arguments


@click.command("augment")
@recipe_arguments
def command(
    recipe_path: Path, overrides: tuple[str, ...], output: Path | None, limit: int | None, as_json: bool
) -> int:
    """Stage 2a of RECIPE: write a reasoning for every labelled training text, and filter them.

    Killed at any moment, the same command goes on at the row where it was.
    """
    from whylabel.cli.results import print_stage
    from whylabel.pipeline import Pipeline

    recipe, run = open_run(recipe_path, overrides, output, limit)
    pipeline = Pipeline(recipe, run)
    with run.locked():
        pipeline.begin()
        pipeline.augment()
    print_stage(run.augment_metrics, as_json=as_json)
    return finish(pipeline)
