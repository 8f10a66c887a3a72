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

if TYPE_CHECKING:
    from whylabel.models import LoadedModel

__all__ = ["ENGINES", "Completion", "Engine", "Sampling", "make_engine"]

Loader = Callable[[], "LoadedModel"]
Factory = Callable[[Loader, Mapping[str, Any]], Engine]


def _transformers(model: Loader, options: Mapping[str, Any]) -> Engine:
    from whylabel.engines.transformers import TransformersEngine

    return TransformersEngine(model(), **options)


def _scripted(_model: Loader, options: Mapping[str, Any]) -> Engine:
    from whylabel.engines.scripted import ScriptedEngine

    return ScriptedEngine(**options)


ENGINES: dict[str, Factory] = {"transformers": _transformers, "scripted": _scripted}


_OUTPUT_OPTIONS: dict[str, tuple[str, ...]] = {"auto": (), "transformers": (), "scripted": ("answers",)}


def output_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that change what an engine writes, rather than how fast: they are part of a row's key.

    Nobody knows which those are for an outsider's engine, so all of its options count, and its name.
    """
    if name not in _OUTPUT_OPTIONS:
        return {"engine": name, **options}
    return {key: options[key] for key in _OUTPUT_OPTIONS[name] if key in options}


def make_engine(name: str, model: Loader, options: Mapping[str, Any]) -> Engine:
    """Return the named engine; `auto` is transformers, which runs everywhere.

    Raises `EngineError` if the name is unknown or the engine does not take the options.
    """
    name = "transformers" if name == "auto" else name
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
