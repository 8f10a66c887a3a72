"""`whylabel evaluate`: one stage."""

from __future__ import annotations

from pathlib import Path

import click

from whylabel.cli.options import finish, open_run, recipe_arguments


@click.command("evaluate")
@recipe_arguments
def command(
    recipe_path: Path, overrides: tuple[str, ...], output: Path | None, limit: int | None, as_json: bool
) -> int:
    """Compare classifier and baseline of RECIPE on the test split, and write the report."""
    from whylabel.cli.results import print_results
    from whylabel.pipeline import Pipeline

    recipe, run = open_run(recipe_path, overrides, output, limit)
    pipeline = Pipeline(recipe, run)
    with run.locked():
        pipeline.begin(evaluated=True)
        pipeline.evaluate()
    print_results(run, as_json=as_json)
    return finish(pipeline)
