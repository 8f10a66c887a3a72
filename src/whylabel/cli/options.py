"""Arguments and options that several verbs share, so that they are written once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import click

from whylabel.cli.interrupts import if_interrupted
from whylabel.types import Mode

if TYPE_CHECKING:
    from whylabel.pipeline import Pipeline
    from whylabel.recipe import Recipe
    from whylabel.run_folder import RunFolder

_Command = TypeVar("_Command", bound=Callable[..., Any])


def recipe_arguments(command: _Command) -> _Command:
    """Add RECIPE [KEY=VALUE ...] and the options of every verb that takes a recipe."""
    recipe = click.argument("recipe_path", metavar="RECIPE", type=click.Path(path_type=Path))
    return recipe(recipe_options(command))


def recipe_options(command: _Command) -> _Command:
    """Add [KEY=VALUE ...] and the options of every verb that runs a recipe.

    Such a verb can be interrupted: the same command continues.
    """
    for decorate in (
        debug_option,
        json_option,
        click.option(
            "--limit",
            type=click.IntRange(min=2),
            help="Use at most this many rows of each split, and only the steps that they take: a quick rehearsal.",
        ),
        click.option(
            "--output",
            type=click.Path(file_okay=False, path_type=Path),
            help="The run folder. [default: runs/NAME, if nothing else is said above]",
        ),
        click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
        _resumable,
    ):
        command = decorate(command)
    return command


def _resumable(command: _Command) -> _Command:
    """If the verb is interrupted, say that the same command continues."""

    @functools.wraps(command)
    def resumable(*values: Any, **named: Any) -> Any:
        with if_interrupted(lambda: "The same command continues where this one stopped."):
            return command(*values, **named)

    return cast(_Command, resumable)


def prediction_options(command: _Command) -> _Command:
    """Add the options of every verb that labels texts: what it reads, what it writes, how the model answers."""
    for decorate in (
        click.option(
            "--columns",
            type=click.Choice(["all", "none"]),
            default="all",
            show_default=True,
            help="Which columns of the input are written before those of the predictions.",
        ),
        click.option(
            "--show-all",
            is_flag=True,
            help="Show every reasoning, also those that are to be withheld: reasoning_status says why.",
        ),
        click.option(
            "--evidence",
            is_flag=True,
            help="Add the column evidence: the stretches of the text that the label rests on, each with its effect: "
            "log p of the label, minus log p without the stretch. Takes up to 13 scorings a text.",
        ),
        click.option(
            "--abstain-below",
            type=click.FloatRange(0, 1),
            default=0.0,
            metavar="P",
            help="Rows whose best probability is below P get the status abstained; they keep their label.",
        ),
        click.option(
            "--mode",
            type=click.Choice(get_args(Mode)),
            help="How the model answers: fast, reasoned, vote (several reasonings), adaptive (reasoned if fast is "
            "unsure) or blend (fast and reasoned). [default: the model's own]",
        ),
        click.option(
            "--output",
            type=click.Path(path_type=Path),
            help="A .csv, .jsonl or .parquet file. [default: JSONL on stdout]",
        ),
        click.option(
            "--input",
            "input_path",
            type=click.Path(path_type=Path),
            help="A CSV, TSV, JSONL or Parquet file. [default: stdin, one text a line]",
        ),
    ):
        command = decorate(command)
    return command


def json_option(command: _Command) -> _Command:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print results as JSON.")(command)


def debug_option(command: _Command) -> _Command:
    """Add --debug; `main` looks for the flag itself."""
    return click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks of errors.")(
        command
    )


def open_run(
    recipe_path: Path, overrides: tuple[str, ...], output: Path | None, limit: int | None
) -> tuple[Recipe, RunFolder]:
    """Return the resolved recipe and its run folder."""
    from whylabel.recipe import load_recipe, override_recipe
    from whylabel.run_folder import RunFolder

    recipe = load_recipe(recipe_path, overrides)
    if limit is not None:
        rows = {
            f"data__{split}_rows": min(limit, getattr(recipe.data, f"{split}_rows") or limit)
            for split in ("train", "validation", "test")
        }
        rows["reasoner__rows"] = min(limit, recipe.reasoner.rows or limit)
        # A least number of steps would make a rehearsal nearly as long as the run.
        steps = {"training__min_steps": None, "reasoner__training__min_steps": None}
        recipe = override_recipe(recipe, **rows, **steps)
    return recipe, RunFolder(output or Path("runs") / recipe.name)


def finish(pipeline: Pipeline) -> int:
    """Return the exit code of finished stages: 4 if rows failed, which is also reported."""
    from whylabel.host.progress import say
    from whylabel.stages.augment.sort import FAILURES_LISTED

    failed = pipeline.failed_rows
    if not failed:
        return 0
    most = f" ({FAILURES_LISTED:,} at most)" if failed > FAILURES_LISTED else ""
    say(
        f"{failed:,} rows failed. They are listed in {pipeline.run.augment_metrics}{most} and "
        f"{pipeline.run.predictions}."
    )
    return 4
