"""`whylabel export`: a trained model for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from whylabel.cli.options import debug_option, json_option
from whylabel.export.formats import FORMAT_NAMES, FORMATS, FormatName

if TYPE_CHECKING:
    from whylabel.export.export import Exported

_QUANTISATIONS = "; ".join(f"{name}: {', '.join(FORMATS[name].quantisations)}" for name in FORMAT_NAMES)


@click.command("export")
@click.argument("model", metavar="MODEL_OR_RUN")
@click.option("--format", "format_name", type=click.Choice(FORMAT_NAMES), required=True)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The folder to write; an earlier export in it is replaced.",
)
@click.option("--quantisation", help=f"Of the weights. {_QUANTISATIONS}. [default: the first]")
@click.option(
    "--rows",
    type=click.Path(path_type=Path),
    help="A file of texts to compare on. [default: test rows of the run]",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Compare on so many rows.",
)
@json_option
@debug_option
def command(
    model: str,
    format_name: FormatName,
    output: Path,
    quantisation: str | None,
    rows: Path | None,
    limit: int,
    as_json: bool,
) -> None:
    """Write a trained model for another runtime, and check that it answers there as it does here.

    The export is asked in its own runtime, through token ids, about rows of the run; the differences are printed. If
    a label changes although the model prefers its own by 0.05 of probability or more, the exit code is 1 and nothing
    is written.

    Beside the weights: tokenizer and chat template, whylabel.json (labels, calibration, and the ids of the end, the
    label marker, the frame of a prompt and each label) and parity.json (the comparison). What is lost in the format
    is said.
    """
    from whylabel.export.export import export
    from whylabel.host.paths import expanded
    from whylabel.host.terminal import print_json

    exported = export(model, format_name, expanded(output), quantisation=quantisation, rows=rows, count=limit)
    if as_json:
        print_json(
            {
                "folder": str(exported.folder),
                "format": exported.format,
                "quantisation": exported.quantisation,
                "parity": exported.parity.to_json(),
                "lost": list(exported.lost),
            }
        )
    else:
        _print(exported)


def _print(exported: Exported) -> None:
    from whylabel.host.terminal import printable

    click.echo(f"{exported.folder}: {exported.format}, {exported.quantisation}")
    for line in exported.parity.lines():
        click.echo(f"  {printable(line)}")
    if exported.lost:
        click.echo("Lost in this format:")
    for line in exported.lost:
        click.echo(f"  {line}")
