"""`whylabel init`: a commented recipe for the user's own data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whylabel.cli.options import debug_option

if TYPE_CHECKING:
    from whylabel.recipe import DataConfig


@click.command("init")
@click.argument("data", metavar="DATA")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The recipe file to write. [default: the data's name + .yaml, in the current folder]",
)
@click.option("--force", is_flag=True, help="Replace an existing recipe.")
@click.option("--text-column", help="The column with the text. [default: recognised]")
@click.option("--label-column", help="The column with the label. [default: recognised]")
@click.option("--id-column", help="The column with a unique row id. [default: id, or a hash of the text]")
@click.option("--question", help="The question about each text. [default: from the label column]")
@click.option("--name", help="One word for what the label is. [default: from the label column]")
@debug_option
def command(
    data: str,
    output: Path | None,
    force: bool,
    text_column: str | None,
    label_column: str | None,
    id_column: str | None,
    question: str | None,
    name: str | None,
) -> None:
    """Write a commented recipe for your own data.

    DATA is a CSV, TSV, JSONL or Parquet file, a folder, hub:owner/name or builtin:emotions.
    """
    import os
    import shlex

    from whylabel.data import inspect_dataset
    from whylabel.data.draft import draft_recipe, draft_task, run_name
    from whylabel.errors import DataError, UsageError
    from whylabel.host.atomic import write_text
    from whylabel.host.paths import expanded
    from whylabel.host.progress import say
    from whylabel.host.takeover import check_file
    from whylabel.models.load import token_counter
    from whylabel.recipe import DataConfig, Recipe, load_recipe

    output = output or Path(f"{run_name(data)}.yaml")
    if output.exists() and not force:
        raise UsageError(
            "There already is a recipe.",
            where=str(output),
            fix="replace it with --force, or name another --output",
        )
    # Links are followed: what is written is the file behind them.
    file = Path(os.path.realpath(output))
    check_file(file, _is_recipe, wanted="A recipe", fix="name another --output", sources=[expanded(data)])
    config = DataConfig(source=data, text_column=text_column, label_column=label_column, id_column=id_column)
    inspection = inspect_dataset(config, None, Recipe().seed, token_counter(Recipe().base_model))
    if len(inspection.label_counts()) < 2:
        first = inspection.errors[0]
        raise DataError(first.message, where=data, fix=first.fix or None)
    task = draft_task(inspection, name=name, question=question)
    write_text(file, draft_recipe(inspection, config, name=run_name(str(output)), task=task))
    data_config = load_recipe(output).data
    for finding in inspection.findings:
        if finding.severity != "info" or finding.kind == "whole_numbers":
            say(f"{finding.severity}: {finding.message}\n  fix: {finding.fix}")
        elif finding.kind == "own_reasonings":
            say(f"{finding.message}: the recipe uses them (data.reasoning_column)")
    rows = " · ".join(f"{split} {count}" for split, count in inspection.rows.items())
    say(f"Wrote {output}: text {inspection.text_column!r}, label {inspection.label_column!r}, {rows} rows.")
    if sampled := _sampled(data_config, inspection.rows):
        say(f"The recipe takes {sampled}: remove data.train_rows or data.test_rows from it to use all.")
    say(
        "A larger base_model, a larger reasoner (reasoner.base_model) or an endpoint (reasoner.endpoint) writes "
        "better reasonings, for more time or money; what sizes cost here: whylabel doctor"
    )
    say(f"Next: whylabel run {shlex.quote(str(output))}")


def _sampled(config: DataConfig, rows: Mapping[str, int]) -> str:
    """Return which splits a recipe takes a sample of; empty if it takes all rows."""
    limits = {"train": config.train_rows, "test": config.test_rows}
    return " and ".join(
        f"{limit:,} of {rows[split]:,} {split} rows"
        for split, limit in limits.items()
        if limit is not None and limit < rows.get(split, 0)
    )


def _is_recipe(file: Path) -> bool:
    """Return whether a file may be replaced with --force: recipes alone end in .yaml, data does not."""
    return file.suffix.lower() in (".yaml", ".yml")
