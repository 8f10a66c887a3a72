"""`whylabel augment`: one stage."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whylabel.cli.options import finish, open_run, recipe_arguments

if TYPE_CHECKING:
    from whylabel.stages.augment import Rehearsal, Retry


@click.command("augment")
@recipe_arguments
@click.option(
    "--retry",
    type=click.Choice(["failed", "length"]),
    multiple=True,
    help="Write the rows again that failed, or those that the token limit cut off.",
)
@click.option("--retry-failed", is_flag=True, help="The same as --retry failed.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show three real prompts and estimate tokens and time from a few timed rows; store nothing.",
)
def command(
    recipe_path: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    limit: int | None,
    as_json: bool,
    retry: tuple[Retry, ...],
    retry_failed: bool,
    dry_run: bool,
) -> int:
    """Stage 2a of RECIPE: write a reasoning for every labelled training text, and filter them.

    If the command is killed, run it again: it continues at the row where it stopped. Finished rows are reused.
    After a change of the recipe, or with --retry, only the affected rows run again.
    """
    from whylabel.cli.results import print_stage
    from whylabel.host.terminal import print_json
    from whylabel.pipeline import Pipeline

    recipe, run = open_run(recipe_path, overrides, output, limit)
    pipeline = Pipeline(recipe, run)
    again: frozenset[Retry] = frozenset(retry) | ({"failed"} if retry_failed else frozenset())
    if dry_run:
        with run.locked():
            rehearsal = pipeline.rehearse_augment(again)
        if as_json:
            print_json(rehearsal.to_json())
        else:
            _show(rehearsal)
        return 0
    with run.locked():
        pipeline.begin()
        pipeline.augment(again)
    print_stage(run.augment_metrics, as_json=as_json)
    return finish(pipeline)


def _show(rehearsal: Rehearsal) -> None:
    from whylabel.host.progress import duration
    from whylabel.host.terminal import printable_lines

    done = rehearsal.rows - rehearsal.to_write
    click.echo(f"{rehearsal.to_write:,} reasonings to write for {rehearsal.rows:,} rows")
    if rehearsal.own:
        click.echo(f"{rehearsal.own:,} rows came with a reasoning and keep it")
    if not rehearsal.to_write:
        click.echo(f"All {done:,} reasonings are already in the store.")
        return
    for place, (text, tokens) in enumerate(rehearsal.prompts, start=1):
        # An endpoint has no tokenizer here.
        counted = f" ({tokens} tokens)" if tokens else ""
        click.echo(click.style(f"\nprompt {place}{counted}", bold=True))
        click.echo(textwrap.indent(printable_lines(text), "  "))
    click.echo(f"\nprompt tokens  about {rehearsal.prompt_tokens:,}")
    click.echo(f"new tokens     about {rehearsal.new_tokens:,}, {rehearsal.tokens_per_second:,.0f} a second")
    click.echo(
        f"time           about {duration(rehearsal.seconds)}; a large batch is faster than the few timed rows"
    )
    if rehearsal.cost is not None:
        click.echo(f"cost           about {rehearsal.cost:,.4f}, in the currency of the prices")
    if rehearsal.failed:
        click.echo(f"failed         {rehearsal.failed} of the timed rows")
