"""`whylabel evaluate`: one stage."""

from __future__ import annotations

from pathlib import Path

import click

from whylabel.cli.options import finish, open_run, recipe_arguments


@click.command("evaluate")
@recipe_arguments
@click.option(
    "--faithfulness",
    is_flag=True,
    help="Measure, too, whether the labels rest on the reasonings: cut, spoil and exchange those of "
    "evaluation.faithfulness_rows test rows, and let the reasoner argue for other labels.",
)
def command(
    recipe_path: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    limit: int | None,
    as_json: bool,
    faithfulness: bool,
) -> int:
    """Compare classifier and baseline of RECIPE on the test split, and write the report."""
    from whylabel.cli.results import print_results
    from whylabel.pipeline import Pipeline
    from whylabel.pipeline.faithfulness import require_reading

    recipe, run = open_run(recipe_path, overrides, output, limit)
    if faithfulness:
        require_reading(recipe.classifier.target)
    pipeline = Pipeline(recipe, run)
    with run.locked():
        pipeline.begin(evaluated=True)
        pipeline.evaluate(faithfulness=faithfulness)
    print_results(run, as_json=as_json)
    return finish(pipeline)
