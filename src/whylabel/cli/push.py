"""`whylabel push`: a model to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

import click

from whylabel.cli.interrupts import if_interrupted
from whylabel.cli.options import debug_option


@click.command("push")
@click.argument("path", metavar="RUN_OR_MODEL", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--public", is_flag=True, help="Everybody may see the model. [default: private]")
@debug_option
def command(path: Path, repository: str, public: bool) -> None:
    """Publish a run's classifier, or a model folder, on the Hugging Face hub.

    Weights, settings, tokenizer, whylabel.json and the model card (as README.md) are uploaded; no checkpoints, no
    texts, no reasonings. The token is read from HF_TOKEN.
    """
    from whylabel.host.terminal import printable
    from whylabel.report.hub import push

    with if_interrupted(lambda: "Nothing is published before all files are; the same command continues."):
        click.echo(printable(push(path, repository, public=public)))
