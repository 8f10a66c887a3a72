"""`whylabel doctor`: what this machine and installation can do."""

from __future__ import annotations

import click

from whylabel.cli.options import debug_option, json_option


@click.command("doctor")
@click.argument("model", required=False, metavar="[MODEL]")
@json_option
@debug_option
def command(model: str | None, as_json: bool) -> None:
    """Show versions, cores, memory, the arithmetic used and the reason for it, engines, model cache and hub, and what
    models of several sizes cost here.

    With a MODEL (a folder, GGUF file, hub id or packaged model), load it and show what it computes right for several
    rows at once, and what is done in a slower way instead.
    """
    from whylabel.cli.diagnosis import diagnose, diagnose_model
    from whylabel.host.terminal import print_json, printable

    found = {**({"model": diagnose_model(model)} if model else {}), **diagnose()}
    if as_json:
        print_json(found)
        return
    for section, values in found.items():
        click.echo(click.style(section, bold=True))
        width = max(20, *map(len, values))
        for name, value in values.items():
            click.echo(f"  {name:<{width}} {printable(str(value))}")
