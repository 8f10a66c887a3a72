"""`whylabel run`: all stages of a recipe."""

from __future__ import annotations

from pathlib import Path

import click

from whylabel.cli.options import finish, open_run, recipe_arguments


@click.command("run")
@recipe_arguments
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check everything that can be checked, say which stages would run and why, and run none.",
)
def command(
    recipe_path: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    limit: int | None,
    as_json: bool,
    dry_run: bool,
) -> int:
    """Run all stages of RECIPE: train the reasoner, write reasonings, train both models, compare them.

    A stage whose inputs have not changed is skipped. An interrupted stage continues where it stopped.
    """
    from whylabel.cli.results import print_results
    from whylabel.host.terminal import print_json
    from whylabel.pipeline import Pipeline

    recipe, run = open_run(recipe_path, overrides, output, limit)
    pipeline = Pipeline(recipe, run)
    if dry_run:
        pipeline.check(evaluated=True)
        if as_json:
            stages = [
                {"stage": stage, "would_run": reason is not None, "reason": reason}
                for stage, reason in pipeline.would_run().items()
            ]
            print_json(stages)
        else:
            click.echo("\n".join(pipeline.plan()))
        pipeline.say_time()
        return 0
    with run.locked():
        pipeline.run_all()
    print_results(run, as_json=as_json)
    return finish(pipeline)
