"""`whylabel serve`: answer requests over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whylabel.cli.options import debug_option

if TYPE_CHECKING:
    from whylabel.page.runs import ServedRun

_PACKAGES = ("fastapi", "uvicorn", "prometheus-client")


@click.command("serve")
@click.argument("models", metavar="MODEL_OR_RUN...", nargs=-1, required=True)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; others than this machine's own need a key.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free."
)
@click.option(
    "--name",
    "names",
    multiple=True,
    help="The model's name in the API; of several models each has one, in their order. [default: that of its run, "
    "or of its folder]",
)
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
    models: tuple[str, ...],
    api_key_file: Path | None,
    device: str,
    engine: str,
    names: tuple[str, ...],
    **limits: Any,
) -> int:
    """Serve a run's classifier, or a model folder, over HTTP, with a page to try it in a browser.

    Of several, a request names the one that it is for, and the first answers where it names none. Routes, limits,
    clients and the page: docs/serving.md. SIGTERM or Ctrl-C stops the server when accepted requests are answered;
    SIGHUP loads the models again without losing a request.
    """
    from whylabel.errors import UsageError
    from whylabel.host.machine import installed_version

    missing = [package for package in _PACKAGES if installed_version(package) is None]
    if missing:
        raise UsageError(f"Serving needs {', '.join(missing)}.", fix="pip install 'whylabel[serve]'")
    from whylabel.page.routes import page_of
    from whylabel.serving.messages import EngineSettings
    from whylabel.serving.server import serve
    from whylabel.serving.settings import ServeSettings, read_keys

    named = _named(models, names)
    runs = _runs(named)
    first, *others = named
    settings = ServeSettings(name=first, keys=read_keys(api_key_file), **limits)
    engines = {name: EngineSettings(model, device, engine) for name, model in named.items()}
    serve(
        settings,
        engines[first],
        extend=page_of(settings, runs),
        others={name: engines[name] for name in others},
    )
    return 0


def _named(models: tuple[str, ...], names: tuple[str, ...]) -> dict[str, str]:
    """Return the models by name. Raises `UsageError` unless each has a name of its own."""
    from whylabel.errors import UsageError

    if names and len(names) != len(models):
        raise UsageError(
            f"There are {len(models)} models and {len(names)} names.", fix="give one --name for each"
        )
    given = names or tuple(map(_name, models))
    if odd := [name for name in given if not name or "/" in name]:
        raise UsageError(
            f"A model cannot be called {odd[0]!r}: its name is a part of addresses.",
            fix="name it: --name tickets",
        )
    twice = [name for name in given if given.count(name) > 1]
    if twice:
        raise UsageError(f"Two models have the name {twice[0]!r}.", fix="give one --name for each")
    return dict(zip(given, models, strict=True))


def _runs(models: dict[str, str]) -> list[ServedRun]:
    """Return the runs of the models that are in one. Raises `ModelError` if a model is none of whylabel."""
    from whylabel.models.load import read_card
    from whylabel.page.runs import ServedRun, run_of
    from whylabel.prediction.card import ModelCard
    from whylabel.prediction.trained import model_folder

    runs = []
    for name, model in models.items():
        folder = model_folder(model)
        card = ModelCard.from_json(read_card(folder), folder)
        run = run_of(model)
        if run is not None:
            runs.append(ServedRun.of(name, run, card))
    return runs


def _name(model: str) -> str:
    """Return the name of a run, also for the model folder inside it; of another model that of its folder."""
    from whylabel.page.runs import run_of

    run = run_of(model)
    return (Path(model).expanduser() if run is None else run.path).resolve().name
