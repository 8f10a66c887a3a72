"""`whylabel train`: stage 2b, the classifier and the baseline."""

from __future__ import annotations

from pathlib import Path

import click

from whylabel.cli.options import finish, open_run, recipe_arguments


@click.command("train")
@recipe_arguments
@click.option(
    "--only", type=click.Choice(["baseline", "classifier"]), help="Train one of the two. [default: both]"
)
def command(
    recipe_path: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    limit: int | None,
    as_json: bool,
    only: str | None,
) -> int:
    """Stage 2b of RECIPE: train the baseline (text -> label) and the classifier (text -> reasoning + label)."""
    from whylabel.cli.results import print_stage
    from whylabel.pipeline import Pipeline

    recipe, run = open_run(recipe_path, overrides, output, limit)
    pipeline = Pipeline(recipe, run)
    with run.locked():
        pipeline.begin()
        if only != "classifier":
            pipeline.train_baseline()
            print_stage(run.baseline_metrics, as_json=as_json)
        if only != "baseline":
            pipeline.train_classifier()
            print_stage(run.classifier_metrics, as_json=as_json)
    return finish(pipeline)
