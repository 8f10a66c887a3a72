"""`whylabel doctor`: what this machine and installation can do."""

from __future__ import annotations

import click

from whylabel.cli.options import debug_option, json_option


@click.command("doctor")
@json_option
@debug_option
def command(as_json: bool) -> None:
    """Show versions, cores, memory, the arithmetic used and the reason for it, engines, model cache and hub."""
    from whylabel.cli.diagnosis import diagnose
    from whylabel.host.terminal import print_json, printable

    found = diagnose()
    if as_json:
        print_json(found)
        return
    for section, values in found.items():
        click.echo(click.style(section, bold=True))
        for name, value in values.items():
            click.echo(f"  {name:<20} {printable(str(value))}")
