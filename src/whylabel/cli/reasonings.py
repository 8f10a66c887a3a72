"""`whylabel reasonings`: show and export the reasonings of a run, and import what people decided about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whylabel.cli.options import debug_option, json_option
from whylabel.host.terminal import json_text, printable

if TYPE_CHECKING:
    from whylabel.reasonings.review import ReviewRow


@click.command("reasonings")
@click.argument("run_path", metavar="RUN|RECIPE", type=click.Path(path_type=Path))
@click.option("--search", help="Only rows with these words in text or reasoning, whatever their case.")
@click.option("--label", help="Only rows of this label.")
@click.option("--state", type=click.Choice(["kept", "dropped", "failed"]), help="Only rows of this state.")
@click.option("--reason", help="Only rows dropped or failed for this reason (a part of it is enough).")
@click.option(
    "--limit", type=click.IntRange(min=1), help="At most this many rows. [default: 20, all in a file]"
)
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(min=1),
    metavar="N",
    help="Hand out the N train rows that it is most useful to write a reasoning for, in the file of --export. "
    "[default: seeds.csv]",
)
@click.option(
    "--export",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the rows to a .csv, .jsonl or .parquet file.",
)
@click.option(
    "--import",
    "decided",
    type=click.Path(path_type=Path),
    help="Record the decisions in an exported file: rows whose reasoning was edited, or whose column verdict was set "
    "to accepted, rejected, or cleared, which undoes an earlier decision.",
)
@click.option("--by", help="Who decided. [default: the user's name]")
@click.option(
    "--predictions",
    is_flag=True,
    help="The classifier's reasonings on the test texts instead, those that are shown: deal some out to be read, or "
    "with --import record the verdicts of a reader.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    help="With --predictions: how many, drawn with the run's seed. [default: 50]",
)
@click.option("--blind", is_flag=True, help="With --predictions: without gold label and probabilities.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --predictions: the .csv, .jsonl or .parquet file. [default: CSV on stdout]",
)
@json_option
@debug_option
def command(
    run_path: Path,
    search: str | None,
    label: str | None,
    state: str | None,
    reason: str | None,
    limit: int | None,
    seeds: int | None,
    export: Path | None,
    decided: Path | None,
    by: str | None,
    predictions: bool,
    sample: int | None,
    blind: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show, search and export the reasonings of RUN, and import what people decided about them.

    A rejected reasoning is dropped. An edited or accepted one is kept, whatever filters and verifier say. Decisions
    take effect with the next `whylabel run` or `augment`, and are recorded with their author and time. Accepting and
    rejecting apply as long as the row has the reasoning that the person saw; an edit applies to any reasoning.

    With --predictions, the reasonings are those that the trained classifier shows beside its labels. Readers accept
    or reject them, and the report says how many. Nothing runs again.

    --seed hands out train rows for people to write reasonings for: of every label, easy and hard, short and long, no
    two alike, none with a reasoning that people wrote or accepted. It takes a RECIPE (.yaml) in place of RUN, too.
    """
    import itertools
    import sys
    from dataclasses import asdict

    from whylabel.cli.readings import deal_predictions, import_readings, refuse_options
    from whylabel.cli.review_files import write_rows
    from whylabel.errors import UsageError
    from whylabel.host.progress import say
    from whylabel.reasonings.decisions import import_decisions
    from whylabel.reasonings.review import review_rows
    from whylabel.run_folder import RunFolder

    viewing = {
        "--search": search,
        "--label": label,
        "--state": state,
        "--reason": reason,
        "--limit": limit,
        "--json": as_json,
    }
    if seeds is not None:
        refuse_options(
            {
                **viewing,
                "--import": decided,
                "--by": by,
                "--predictions": predictions,
                "--sample": sample,
                "--blind": blind,
                "--output": output,
            },
            beside="--seed",
        )
        _hand_out(run_path, seeds, export or Path("seeds.csv"))
        return
    if run_path.is_file():
        raise UsageError(
            "A run is a folder, and this is a file.",
            where=str(run_path),
            fix="name a run folder; a recipe is for --seed",
        )
    run = RunFolder(run_path)
    if predictions:
        refuse_options({**viewing, "--export": export}, beside="--predictions")
        if decided is None:
            deal_predictions(run, sample or 50, output, blind=blind)
        else:
            refuse_options({"--sample": sample, "--blind": blind, "--output": output}, beside="--import")
            import_readings(run, decided, by)
        return
    refuse_options({"--sample": sample, "--blind": blind, "--output": output})
    if decided is not None:
        counts = import_decisions(run, decided, decided_by=by)
        summary = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items())
        say(
            f"{summary}; they take effect with the next: whylabel run RECIPE"
            if summary
            else "the file holds no new decisions"
        )
        return
    rows = _matching(review_rows(run), search, label, state, reason)
    if export is not None:
        exported = list(itertools.islice(rows, limit))
        write_rows(export, exported)
        say(f"{len(exported):,} rows in {export}")
        return
    row = None
    for row in itertools.islice(rows, limit or 20):
        if as_json:
            click.echo(json_text(asdict(row), encoding=sys.stdout.encoding))
        else:
            _show(row)
    if row is None:
        say("this run has no such reasoning")


def _hand_out(path: Path, count: int, file: Path) -> None:
    """Write the rows to write a reasoning for, and say how to use the file once it is filled."""
    import shlex

    from whylabel.cli.review_files import write_seeds
    from whylabel.host.progress import say
    from whylabel.pipeline.seeds import seeds_of_recipe, seeds_of_run

    is_run = path.is_dir()
    rows, question = (seeds_of_run if is_run else seeds_of_recipe)(path, count)
    if not rows:
        say("Every train row has a reasoning by people, or nearly repeats one that has: no file is written")
        return
    write_seeds(file, rows, question)
    fewer = "" if len(rows) == count else " (the others nearly repeat these, or have one)"
    run, name = shlex.quote(str(path)), shlex.quote(str(file))
    say(
        f"{len(rows):,} rows in {file}{fewer}. Fill the column reasoning; rows left empty stay open. "
        f"Then train the reasoner on it: reasoner.data=[builtin:cues,{file}]; "
        + (f"take it over in this run: whylabel reasonings {run} --import {name}; " if is_run else "")
        + "or copy the column into your data: data.reasoning_column"
    )


def _matching(
    rows: Iterator[ReviewRow], search: str | None, label: str | None, state: str | None, reason: str | None
) -> Iterator[ReviewRow]:
    words = (search or "").casefold()
    for row in rows:
        if (
            words in f"{row.text}\n{row.reasoning}".casefold()
            and label in (None, row.label)
            and state in (None, row.state)
            and (reason or "") in row.reason
        ):
            yield row


def _show(row: ReviewRow) -> None:
    margin = "" if row.margin is None else f", margin {row.margin:+.2f}"
    why = f": {row.reason}" if row.reason else ""
    state = printable(f"{row.label}  ({row.state}{why}{margin})")
    click.echo(f"{click.style(printable(row.id), bold=True)}  {state}")
    for name, text in (("text", row.text), ("why", row.reasoning)):
        if text:
            click.echo(f"  {name}: {_in_one_line(text)}")
    if row.verdict:
        note = f": {row.note}" if row.note else ""
        click.echo(f"  decided: {_in_one_line(f'{row.verdict} by {row.decided_by}, {row.decided_at}{note}')}")


def _in_one_line(text: str) -> str:
    return printable(" ".join(text.split()))
