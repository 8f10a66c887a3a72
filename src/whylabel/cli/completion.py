"""`whylabel completion`: the shell completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL.

    For bash: whylabel completion bash > ~/.local/share/bash-completion/completions/whylabel
    """
    from whylabel.cli.main import cli

    completion_class = get_completion_class(shell)
    assert completion_class is not None
    click.echo(completion_class(cli, {}, "whylabel", "_WHYLABEL_COMPLETE").source())
