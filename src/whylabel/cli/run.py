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
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    metavar="N",
    help="Run it with N seeds on the same test rows, and compare over all of them. [default folder: runs/NAME-seeds]",
)
def command(
    recipe_path: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    limit: int | None,
    as_json: bool,
    dry_run: bool,
    seeds: int | None,
) -> int:
    """Run all stages of RECIPE: train the reasoner, write reasonings, train both models, compare them.

    RECIPE is a file, or the name of a recipe that comes with whylabel: quickstart, refunds, best, ...

    A stage whose inputs have not changed is skipped. An interrupted stage continues where it stopped.
    """
    if seeds is not None:
        return _run_seeds(recipe_path, overrides, output, limit, as_json, dry_run, seeds)
    if dry_run:
        return _rehearse(recipe_path, overrides, output, limit, as_json)
    return run_recipe(recipe_path, overrides, output, limit, as_json)


def run_recipe(
    recipe_path: Path, overrides: tuple[str, ...], output: Path | None, limit: int | None, as_json: bool
) -> int:
    """Run all stages, print the results, and return the exit code."""
    from whylabel.cli.results import print_results
    from whylabel.pipeline import Pipeline

    recipe, run = open_run(recipe_path, overrides, output, limit)
    pipeline = Pipeline(recipe, run)
    with run.locked():
        pipeline.run_all()
    print_results(run, as_json=as_json)
    return finish(pipeline)


def _rehearse(
    recipe_path: Path, overrides: tuple[str, ...], output: Path | None, limit: int | None, as_json: bool
) -> int:
    from whylabel.host.terminal import print_json
    from whylabel.pipeline import Pipeline

    pipeline = Pipeline(*open_run(recipe_path, overrides, output, limit))
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


def _run_seeds(
    recipe_path: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    limit: int | None,
    as_json: bool,
    dry_run: bool,
    seeds: int,
) -> int:
    from whylabel.cli.compare import print_comparison
    from whylabel.host.progress import say
    from whylabel.host.terminal import print_json, printable
    from whylabel.pipeline import Pipeline
    from whylabel.pipeline.series import compare_seeds, of_seeds, run_members

    recipe, run = open_run(recipe_path, overrides, output, limit)
    folder = output or run.path.with_name(f"{run.path.name}-seeds")
    members = of_seeds(recipe, folder, seeds)
    if dry_run:
        for member in members:
            click.echo(printable(f"{member.run.path}:"))
            click.echo("\n".join(f"  {line}" for line in Pipeline(member.recipe, member.run).plan()))
        return 0
    failed = run_members(members)
    comparison = compare_seeds(folder, members)
    if as_json:
        print_json(comparison.to_json())
    else:
        print_comparison(comparison)
        click.echo(f"\npage:        {printable(str(folder / 'comparison.html'))}")
    if failed:
        say(f"{failed:,} rows failed. They are listed in the run folders in {folder}.")
    return 4 if failed else 0
