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
    from whylabel.cli.results import print_stages
    from whylabel.pipeline import Pipeline

    recipe, run = open_run(recipe_path, overrides, output, limit)
    pipeline = Pipeline(recipe, run)
    with run.locked():
        pipeline.begin()
        verbs = {
            None: pipeline.train_models,
            "baseline": pipeline.train_baseline,
            "classifier": pipeline.train_classifier,
        }
        verbs[only]()
    metrics = {"baseline": run.baseline_metrics, "classifier": run.classifier_metrics}
    print_stages({name: path for name, path in metrics.items() if only in (None, name)}, as_json=as_json)
    return finish(pipeline)
