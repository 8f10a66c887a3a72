"""`whylabel compare`: any runs on the same test rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whylabel.cli.options import debug_option, json_option

if TYPE_CHECKING:
    from whylabel.evaluation.comparison import ArmScore, Comparison, PairScore

_SEED = 13


@click.command("compare")
@click.argument(
    "folders",
    metavar="RUN...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Compare these models: baseline, classifier, tfidf, ..., all. Can be repeated. "
    "[default: baseline and classifier]",
)
@click.option(
    "--mode",
    "modes",
    multiple=True,
    metavar="MODE",
    help="Modes of the classifier: fast, reasoned, ..., all. Can be repeated. [default: its default mode]",
)
@click.option("--against", metavar="NAME", help="Compare each with this one alone: its name, or its number.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the comparison as one page, too.",
)
@json_option
@debug_option
def command(
    folders: tuple[Path, ...],
    models: tuple[str, ...],
    modes: tuple[str, ...],
    against: str | None,
    page: Path | None,
    as_json: bool,
) -> int:
    """Compare models of one or more RUNs on the same test rows: every pair, with intervals and corrected tests.

    RUN is a run folder, a folder of `whylabel evaluate MODEL --data`, or a folder of several of them. Runs that
    differ by their seed alone count as trainings of the same models. Runs on other rows are refused, with the reason.
    """
    from whylabel.evaluation.arms import arms_of, read_runs, run_folders
    from whylabel.evaluation.comparison import compare_arms
    from whylabel.host.progress import progress, say
    from whylabel.host.terminal import print_json
    from whylabel.recipe import EvaluationConfig

    if page is not None:
        _check_page(page)
    with progress("reading predictions", total=len(run_folders(folders)), unit="runs") as bar:
        runs = read_runs(folders, lambda: bar.advance(1))
    arms = arms_of(runs, models, modes)
    numbers = {str(number): arm.name for number, arm in enumerate(arms, start=1)}
    comparison = compare_arms(
        runs[0].rows,
        arms,
        bootstrap_samples=EvaluationConfig().bootstrap_samples,
        seed=_SEED,
        against=None if against is None else numbers.get(against, against),
    )
    if as_json:
        print_json(comparison.to_json())
    else:
        print_comparison(comparison)
    if page is not None:
        from whylabel.report.comparison import write_comparison

        write_comparison(page, comparison)
        say(f"page: {page}")
    return 0


def _check_page(page: Path) -> None:
    from whylabel.host.takeover import check_file
    from whylabel.report.comparison import GENERATOR

    check_file(
        page,
        lambda file: GENERATOR in file.read_text(encoding="utf-8", errors="replace"),
        wanted="The page",
        fix="name another file: --html FILE",
    )


def print_comparison(comparison: Comparison) -> None:
    """Print the arms, the pairs and what follows from them, for people."""
    from rich.console import Console

    from whylabel.host.terminal import printable
    from whylabel.report.comparison import claim, notes

    console = Console(width=max(100, Console().width))
    console.print()
    console.print(_arms(comparison))
    console.print()
    console.print(_pairs(comparison))
    console.print()
    for line in (claim(comparison), *notes(comparison)):
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def _table(title: str, *columns: str) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for at, name in enumerate(columns):
        table.add_column(name, justify="right" if at else "left", no_wrap=at > 0, min_width=0 if at else 12)
    return table


def _arms(comparison: Comparison) -> Any:
    from whylabel.report.comparison import MEASURES

    several = any(len(arm.seeds) > 1 for arm in comparison.arms)
    table = _table(
        f"{comparison.n:,} test rows, 95 % intervals{'; sd: spread over seeds, in points' if several else ''}",
        "model",
        MEASURES[comparison.measure],
        "macro-F1",
        *(("seeds", "sd") if several else ()),
        "seconds/row",
        "tokens/row",
    )
    for number, arm in enumerate(comparison.arms, start=1):
        table.add_row(*_arm(number, arm, several))
    return table


def _arm(number: int, arm: ArmScore, several: bool) -> tuple[Any, ...]:
    from rich.text import Text

    from whylabel.cli.results import with_interval
    from whylabel.host.terminal import printable

    spread = "–" if arm.score.sd is None else f"{100 * arm.score.sd:.1f}"
    return (
        Text(printable(f"{number}  {arm.name}")),
        with_interval(arm.score.mean, arm.score.ci95),
        with_interval(arm.macro_f1.mean, arm.macro_f1.ci95),
        *((str(len(arm.seeds)), spread) if several else ()),
        f"{arm.seconds_per_row:.3f}",
        f"{arm.tokens_per_row:.1f}",
    )


def _pairs(comparison: Comparison) -> Any:
    table = _table(
        "differences in points; p before and after correction; the last one is shown four times in five",
        "pair",
        "difference",
        "only one right",
        "p before",
        "p, Holm",
        "could show",
    )
    numbers = {arm.name: number for number, arm in enumerate(comparison.arms, start=1)}
    for pair in comparison.pairs:
        table.add_row(f"{numbers[pair.arm]} − {numbers[pair.against]}", *_pair(pair))
    return table


def _pair(pair: PairScore) -> tuple[str, ...]:
    from whylabel.report.formats import p_value, points

    low, high = pair.ci95
    both = pair.discordant
    return (
        f"{points(pair.difference)}  [{points(low)}, {points(high)}]",
        "–" if both is None else f"{both.only_right:,} : {both.against_only_right:,}",
        *(p_value(p).removeprefix("p ").removeprefix("= ") for p in (pair.p, pair.p_holm)),
        "–" if pair.detectable is None else f"{100 * pair.detectable:.1f}",
    )
