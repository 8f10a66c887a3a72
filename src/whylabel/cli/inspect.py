"""`whylabel inspect`: show what is in the data, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from whylabel.cli.options import debug_option, json_option
from whylabel.host.terminal import print_json, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from whylabel.data import Inspection
    from whylabel.recipe import Recipe

_SHOWN_IDS = 10
_SHOWN_LABELS = 40


@click.command("inspect")
@click.argument("data", metavar="DATA|RECIPE")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--text-column", help="The column with the text. [default: recognised]")
@click.option("--label-column", help="The column with the label. [default: recognised]")
@click.option("--id-column", help="The column with a unique row id. [default: id, or a hash of the text]")
@json_option
@debug_option
def command(
    data: str,
    overrides: tuple[str, ...],
    text_column: str | None,
    label_column: str | None,
    id_column: str | None,
    as_json: bool,
) -> int:
    """Show what is in the data, and what is wrong with it.

    DATA is a CSV, TSV, JSONL or Parquet file, a folder, hub:owner/name or builtin:emotions; a RECIPE (.yaml)
    stands for the data that it names. Exits with 2 if the data holds errors.
    """
    from whylabel.data import inspect_dataset
    from whylabel.host.progress import say
    from whylabel.models.load import token_counter

    named = {"text_column": text_column, "label_column": label_column, "id_column": id_column}
    recipe = _recipe(data, overrides, {key: value for key, value in named.items() if value is not None})
    count_tokens = token_counter(recipe.base_model)
    task = recipe.task if _is_recipe(data) else None
    inspection = inspect_dataset(recipe.data, task, recipe.seed, count_tokens)
    if as_json:
        print_json(inspection.to_json())
    else:
        show(inspection)
        if count_tokens is None:
            say(
                f"Lengths in tokens need {recipe.base_model} on this machine: whylabel models pull, or a folder"
            )
    return 2 if inspection.errors else 0


def _recipe(data: str, overrides: tuple[str, ...], named: dict[str, str]) -> Recipe:
    from whylabel.errors import UsageError
    from whylabel.recipe import build_recipe, load_recipe, override_recipe

    if _is_recipe(data):
        recipe = load_recipe(data, overrides)
        return override_recipe(recipe, **{f"data__{key}": value for key, value in named.items()})
    if overrides:
        raise UsageError(
            f"Overrides belong to a recipe, got {overrides[0]!r} after a data file.",
            fix="use options such as --text-column, or write a recipe with: whylabel init DATA",
        )
    return build_recipe({"data": {"source": data, **named}})


def _is_recipe(data: str) -> bool:
    return Path(data).suffix.lower() in (".yaml", ".yml")


def show(inspection: Inspection) -> None:
    """Print an inspection to stdout for a person."""
    from rich.console import Console

    # Where stdout is no terminal, lines are not wrapped. Data is shown as it is, not read as rich's markup.
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(f"{printable(inspection.source)}: {inspection.rows_read} rows")
    for key, value in inspection.inferred.items():
        console.print(f"  {key.replace('_', ' ')}: {printable(value)} (recognised)")
    if inspection.rows_unusable:
        console.print(f"  rows that cannot be used: {inspection.rows_unusable}")
    if inspection.rows:
        console.print(_label_table(inspection), _length_table(inspection), sep="\n")
    _show_findings(console, inspection)


def _label_table(inspection: Inspection) -> Table:
    from rich.table import Table

    table = Table(title="Rows by label", title_justify="left")
    table.add_column("label")
    for split in inspection.rows:
        table.add_column(split, justify="right")
    total = inspection.label_counts()
    ordered = sorted(total, key=lambda label: (-total[label], label))
    for label in ordered[:_SHOWN_LABELS]:
        table.add_row(printable(label), *(str(counts.get(label, 0)) for counts in inspection.labels.values()))
    if len(ordered) > _SHOWN_LABELS:
        table.add_row(f"... {len(ordered) - _SHOWN_LABELS} more (--json shows all)")
    table.add_section()
    table.add_row(f"{len(ordered)} labels", *(str(count) for count in inspection.rows.values()))
    return table


def _length_table(inspection: Inspection) -> Table:
    from rich.table import Table

    table = Table(title="Length of a text", title_justify="left")
    table.add_column("in")
    units = list(inspection.lengths.items())
    for quantile in units[0][1] if units else ():
        table.add_column(quantile, justify="right")
    for unit, quantiles in units:
        table.add_row(unit, *map(str, quantiles.values()))
    return table


def _show_findings(console: Console, inspection: Inspection) -> None:
    colours = {"error": "bold red", "warning": "yellow", "info": "cyan"}
    for severity, colour in colours.items():
        for finding in inspection.findings:
            if finding.severity != severity:
                continue
            console.print(f"{severity}: {printable(finding.message)}", style=colour)
            if finding.ids:
                more = f", ... (--json shows all {len(finding.ids)})"
                shown = ", ".join(map(printable, finding.ids[:_SHOWN_IDS]))
                console.print(f"  rows: {shown}{more if len(finding.ids) > _SHOWN_IDS else ''}")
            if finding.fix:
                console.print(f"  fix: {printable(finding.fix)}")
    if not inspection.findings:
        console.print("Nothing is wrong with this data.", style="green")
