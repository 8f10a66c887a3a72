"""Engines that generate reasonings: the table of names, and how an outsider's engine joins it.

An outsider adds an entry point in the group `whylabel.engines`: a callable `(model, options) -> Engine`, where
`model` loads the reasoner on first call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from whylabel.engines.base import Completion, Engine, Sampling
from whylabel.errors import EngineError, unknown_name
from whylabel.progress import say

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from whylabel.models import LoadedModel

__all__ = ["ENGINES", "Completion", "Engine", "Sampling", "make_engine", "pick_engine"]

Loader = Callable[[], "LoadedModel"]
Factory = Callable[[Loader, Mapping[str, Any]], Engine]


def _transformers(model: Loader, options: Mapping[str, Any]) -> Engine:
    from whylabel.engines.transformers import TransformersEngine

    return TransformersEngine(model(), **options)


def _openvino(model: Loader, options: Mapping[str, Any]) -> Engine:
    from whylabel.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(model(), **options)


def _scripted(_model: Loader, options: Mapping[str, Any]) -> Engine:
    from whylabel.engines.scripted import ScriptedEngine

    return ScriptedEngine(**options)


ENGINES: dict[str, Factory] = {
    "transformers": _transformers,
    "openvino": _openvino,
    "scripted": _scripted,
}


def pick_engine(name: str, config: Callable[[], PreTrainedConfig], device: str = "auto") -> tuple[str, str]:
    """Return the engine to use and the reason in words; `auto` becomes the fastest that can run the model.

    `config` reads the model's config; it is called only where it matters. What is picked is part of what identifies
    a reasoning, so it depends on the model and the machine alone and is never revised later.
    """
    from whylabel.engines.openvino import missing_packages

    if name != "auto":
        return name, "named in the recipe"
    if missing_packages():
        return "transformers", "it runs everywhere; pip install 'whylabel[openvino]' is faster on a CPU"
    from whylabel.engines.openvino_export import obstacle
    from whylabel.models import pick_device

    place = pick_device(device)
    if place.type != "cpu":
        return "transformers", f"the fastest on {place.type}"
    found = obstacle(config())
    if found:
        return "transformers", f"openvino cannot run this model: {found}"
    return "openvino", "the fastest on a CPU"


def make_engine(name: str, model: Loader, options: Mapping[str, Any]) -> Engine:
    """Return the named engine; for `auto`, the one that `pick_engine` picks, and say which and why.

    Raises `EngineError` if the name is unknown or the engine does not take the options.
    """
    if name == "auto":
        loaded = model()
        name, reason = pick_engine(name, lambda: loaded.model.config, str(loaded.device))
        say(f"  engine {name}: {reason}")
    factory = ENGINES.get(name)
    if factory is None:
        added = {point.name: point for point in entry_points(group="whylabel.engines")}
        if name not in added:
            raise EngineError(
                unknown_name("engine", name, [*ENGINES, *added, "auto"]), where="augment.engine"
            )
        factory = added[name].load()
    try:
        return factory(model, options)
    except TypeError as error:
        raise EngineError(
            f"Engine {name!r} does not take these options: {error}.", where="augment.engine_options"
        ) from error
