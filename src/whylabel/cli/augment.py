"""`whylabel augment`: one stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from whylabel.cli.options import finish, open_run, recipe_arguments

if TYPE_CHECKING:
    from whylabel.augment import Retry


@click.command("augment")
@recipe_arguments
@click.option(
    "--retry",
    type=click.Choice(["failed", "length"]),
    multiple=True,
    help="Write again the rows that failed, or those that the token limit cut.",
)
@click.option("--retry-failed", is_flag=True, help="The same as --retry failed.")
def command(
    recipe_path: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    limit: int | None,
    as_json: bool,
    retry: tuple[Retry, ...],
    retry_failed: bool,
) -> int:
    """Stage 2a of RECIPE: write a reasoning for every labelled training text, and filter them.

    Killed at any moment, the same command goes on at the row where it was. Rows that are finished are used again;
    of the others only those run that a change of the recipe or --retry concerns.
    """
    from whylabel.cli.results import print_stage
    from whylabel.pipeline import Pipeline

    recipe, run = open_run(recipe_path, overrides, output, limit)
    pipeline = Pipeline(recipe, run)
    with run.locked():
        pipeline.begin()
        pipeline.augment(frozenset(retry) | ({"failed"} if retry_failed else set()))
    print_stage(run.augment_metrics, as_json=as_json)
    return finish(pipeline)
