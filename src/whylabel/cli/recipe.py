"""`whylabel recipe`: every field of the recipe, explained."""

from __future__ import annotations

import textwrap

import click

from whylabel.cli.options import debug_option, json_option


@click.command("recipe")
@click.argument("prefix", required=False, default="")
@json_option
@debug_option
def command(prefix: str, as_json: bool) -> None:
    """Explain every field of the recipe, or those whose name begins with PREFIX (for example: training)."""
    from whylabel.errors import UsageError
    from whylabel.host.terminal import print_json
    from whylabel.recipe import reference

    fields = [field for field in reference() if field[0].startswith(prefix)]
    if not fields:
        raise UsageError(f"No field of the recipe begins with {prefix!r}.", fix="whylabel recipe")
    if as_json:
        names = ("key", "type", "default", "help")
        print_json([dict(zip(names, field, strict=True)) for field in fields])
        return
    for key, kind, default, description in fields:
        if kind == "section":
            click.echo(f"\n{click.style(key, bold=True)}: {description}")
            continue
        click.echo(f"  {click.style(key, fg='cyan')} ({kind}) = {default}")
        click.echo(textwrap.indent(textwrap.fill(description, 92), " " * 6))
