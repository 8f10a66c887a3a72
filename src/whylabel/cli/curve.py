"""`whylabel curve`: a recipe with more and more labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from whylabel.cli.options import open_run, recipe_arguments

if TYPE_CHECKING:
    from whylabel.evaluation.curve import Curve


class _Sizes(click.ParamType[tuple[int, ...]]):
    name = "numbers"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            sizes = tuple(sorted({int(part) for part in str(value).split(",")}))
        except ValueError:
            self.fail(f"{value!r} is no list of whole numbers, such as 8,32,128", param, ctx)
        if len(sizes) < 2 or sizes[0] < 1:
            self.fail(f"{value!r} does not have two sizes or more, each 1 or more", param, ctx)
        return sizes


@click.command("curve")
@recipe_arguments
@click.option(
    "--per-class",
    "sizes",
    type=_Sizes(),
    default="8,32,128",
    show_default=True,
    metavar="N,N,...",
    help="How many labelled texts of each label the models learn from.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs at each size.")
def command(
    recipe_path: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    limit: int | None,
    as_json: bool,
    sizes: tuple[int, ...],
    seeds: int,
) -> int:
    """Run RECIPE with more and more labels, each size with several seeds, and draw how good each model becomes.

    Every run is a run folder in the output folder [default: runs/NAME-curve]; finished ones are skipped. The page
    says where more labels would pay.
    """
    from whylabel.host.progress import say
    from whylabel.host.terminal import print_json, printable
    from whylabel.pipeline.series import curve_of, of_sizes, run_members

    recipe, run = open_run(recipe_path, overrides, output, limit)
    folder = output or run.path.with_name(f"{run.path.name}-curve")
    members = of_sizes(recipe, folder, sizes, seeds)
    failed = run_members([member for found in members.values() for member in found])
    curve = curve_of(folder, members)
    if as_json:
        print_json(curve.to_json())
    else:
        _show(curve)
        click.echo(f"\npage:        {printable(str(folder / 'curve.html'))}")
    if failed:
        say(f"{failed:,} rows failed. They are listed in the run folders in {folder}.")
    return 4 if failed else 0


def _show(curve: Curve) -> None:
    from rich.console import Console
    from rich.table import Table

    from whylabel.cli.results import with_interval
    from whylabel.report.comparison import MEASURES
    from whylabel.report.curve import claims

    console = Console(width=max(100, Console().width))
    table = Table(
        title=f"{MEASURES[curve.measure]}, {curve.n:,} test rows, 95 % intervals", title_justify="left"
    )
    table.add_column("model")
    for size in curve.sizes:
        table.add_column(f"{size:,} a label", justify="right")
    for model, points in curve.models.items():
        table.add_row(
            model, *(with_interval(point.score.score.mean, point.score.score.ci95) for point in points)
        )
    console.print()
    console.print(table)
    for claim in claims(curve):
        console.print(claim, highlight=False, markup=False, soft_wrap=True)
