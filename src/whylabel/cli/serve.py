"""`whylabel serve`: answer requests over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from whylabel.cli.options import debug_option

_PACKAGES = ("fastapi", "uvicorn", "prometheus-client")


@click.command("serve")
@click.argument("model", metavar="MODEL_OR_RUN")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; others than this machine's own need a key.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free."
)
@click.option("--name", help="The model's name in the API. [default: the name of its folder]")
@click.option(
    "--api-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the keys of which a request must carry one, one a line. [default: $WHYLABEL_API_KEY, "
    "else none]",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    help="A host name under which the server is reached, beside its own; several are allowed.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda ...")
@click.option(
    "--engine",
    type=click.Choice(["auto", "transformers", "openvino"]),
    default="auto",
    show_default=True,
    help="What writes reasonings. auto: openvino on a CPU if it is installed and can run the model, else "
    "transformers.",
)
@click.option(
    "--max-text-chars", type=click.IntRange(min=1), default=20_000, show_default=True, help="Longest text."
)
@click.option(
    "--max-texts", type=click.IntRange(min=1), default=64, show_default=True, help="Texts of a request."
)
@click.option(
    "--max-body-bytes",
    type=click.IntRange(min=1024),
    default=2 * 2**20,
    show_default=True,
    help="Largest request.",
)
@click.option(
    "--max-queue",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Texts that are taken and not answered yet; more are refused with 429.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=120.0,
    show_default=True,
    help="Seconds until a request is given up with 504.",
)
@debug_option
def command(
    model: str, api_key_file: Path | None, device: str, engine: str, name: str | None, **limits: Any
) -> int:
    """Serve a run's classifier, or a model folder, over HTTP, with a page to try it in a browser.

    Routes, limits and clients: docs/serving.md. SIGTERM or Ctrl-C stops the server when accepted requests are
    answered; SIGHUP loads the model again without losing a request.
    """
    from whylabel.errors import UsageError
    from whylabel.host.machine import installed_version
    from whylabel.models.load import read_card
    from whylabel.prediction.card import ModelCard
    from whylabel.prediction.trained import model_folder

    missing = [package for package in _PACKAGES if installed_version(package) is None]
    if missing:
        raise UsageError(f"Serving needs {', '.join(missing)}.", fix="pip install 'whylabel[serve]'")
    from whylabel.page.routes import page_of
    from whylabel.page.runs import ServedRun, run_of
    from whylabel.serving.messages import EngineSettings
    from whylabel.serving.server import serve
    from whylabel.serving.settings import ServeSettings, read_keys

    folder = model_folder(model)
    card = ModelCard.from_json(read_card(folder), folder)
    settings = ServeSettings(
        name=name or _name(Path(model).expanduser().resolve()), keys=read_keys(api_key_file), **limits
    )
    run = run_of(model)
    served = [] if run is None else [ServedRun.of(settings.name, run, card)]
    serve(settings, EngineSettings(model, device, engine), extend=page_of(settings, served))
    return 0


def _name(folder: Path) -> str:
    """Return the name of a run, also for the model folder inside it."""
    return folder.parent.parent.name if folder.name == "model" else folder.name
