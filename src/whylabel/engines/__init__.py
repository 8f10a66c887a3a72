"""Engines that generate reasonings: the table of names, and how another package adds an engine.

Another package adds an entry point in the group `whylabel.engines`: a callable `(model, options) -> Engine`.
`model` is a `ModelSource`: `load()` returns the reasoner in this process, `source` is its folder for another
program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from whylabel.engines.base import Completion, Engine, Sampling
from whylabel.errors import EngineError, unknown_name
from whylabel.host.progress import say

if TYPE_CHECKING:
    from whylabel.models.load import ModelSource
    from whylabel.recipe import EngineConfig

__all__ = [
    "ENGINES",
    "Completion",
    "Engine",
    "Sampling",
    "make_engine",
    "options_of",
    "pick_engine",
    "spread",
]

# How many tokens openvino has to save time on before it has paid for its start. They are counted as what reasonings
# may have at most, about a third more than they have.
_TOKENS_WORTH_AN_EXPORT, _TOKENS_WORTH_LOADING = 16_000, 2_000

Factory = Callable[["ModelSource", Mapping[str, Any]], Engine]


def _transformers(model: ModelSource, options: Mapping[str, Any]) -> Engine:
    from whylabel.engines.transformers import TransformersEngine

    return TransformersEngine(model.load(), **options)


def _openvino(model: ModelSource, options: Mapping[str, Any]) -> Engine:
    from whylabel.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(model.load(), **options)


def _scripted(_model: ModelSource, options: Mapping[str, Any]) -> Engine:
    from whylabel.engines.scripted import ScriptedEngine

    return ScriptedEngine(**options)


def _openai(_model: ModelSource, options: Mapping[str, Any]) -> Engine:
    from whylabel.engines.openai import OpenAIEngine
    from whylabel.engines.openai_options import OpenAIOptions, read_options

    return OpenAIEngine(read_options(OpenAIOptions, options))


def _vllm(model: ModelSource, options: Mapping[str, Any]) -> Engine:
    from whylabel.engines.openai_options import read_options
    from whylabel.engines.vllm import VllmEngine, VllmOptions

    return VllmEngine(model, read_options(VllmOptions, options))


ENGINES: dict[str, Factory] = {
    "transformers": _transformers,
    "openvino": _openvino,
    "openai": _openai,
    "vllm": _vllm,
    "scripted": _scripted,
}


def pick_engine(model: ModelSource, tokens: int | None = None) -> tuple[str, str]:
    """Return the fastest engine that can run the model on this machine, and the reason in words.

    `tokens` is how many the engine will write at most: few are not worth an export. None: it is not known, or the
    export will be of use again.
    """
    from whylabel.engines.openvino import missing_packages

    if missing_packages():
        return "transformers", "it runs everywhere; pip install 'whylabel[openvino]' is faster on a CPU"
    from whylabel.engines.openvino_export import unsupported_reason
    from whylabel.models.arithmetic import pick_device

    device = pick_device(model.device)
    if device.type != "cpu":
        return "transformers", f"the fastest on {device.type}"
    unsupported = unsupported_reason(model.config)
    if unsupported:
        return "transformers", f"openvino cannot run this model: {unsupported}"
    if tokens is not None and str(model.load().model.dtype) != "torch.float32":
        return "transformers", "openvino computes in float32"
    if tokens is not None and not _is_worth_an_export(model, tokens):
        return "transformers", f"{tokens:,} tokens take less time than openvino takes to start"
    return "openvino", "the fastest on a CPU"


def _is_worth_an_export(model: ModelSource, tokens: int) -> bool:
    """Return whether openvino saves more time on so many tokens than it takes to start.

    Both grow with the size of the model. Measured with 135 M parameters on 2 cores: an export takes 30 s, to load it
    4 s, and a row of 27 tokens takes about 0.1 s less.
    """
    from whylabel.engines.openvino import is_exported

    worth_loading = tokens >= _TOKENS_WORTH_LOADING and is_exported(model.load().model)
    return tokens >= _TOKENS_WORTH_AN_EXPORT or worth_loading


def make_engine(name: str, model: ModelSource, options: Mapping[str, Any]) -> Engine:
    """Return the named engine. For `auto`, use the one that `pick_engine` returns, and report which one and why.

    Raises `EngineError` if the name is unknown or the engine rejects the options.
    """
    if name == "auto":
        name, reason = pick_engine(model)
        say(f"  engine auto is {name}: {reason}")
        options = options_of(name, options)
    factory = find_factory(name)
    try:
        return factory(model, options)
    except TypeError as error:
        raise EngineError(
            f"Engine {name!r} does not take these options: {error}.", where="augment.engine_options"
        ) from error


def options_of(picked: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of the engine that `auto` has picked: transformers computes in the model's own precision."""
    if picked != "transformers":
        return options
    return {key: value for key, value in options.items() if key != "precision"}


def find_factory(name: str) -> Factory:
    """Return what makes an engine, ours or one added by entry point. Raises `EngineError` if there is none."""
    if name in ENGINES:
        return ENGINES[name]
    added = {point.name: point for point in entry_points(group="whylabel.engines")}
    if name not in added:
        raise EngineError(unknown_name("engine", name, [*ENGINES, *added, "auto"]), where="augment.engine")
    factory: Factory = added[name].load()
    return factory


def spread(name: str, model: ModelSource, options: Mapping[str, Any], config: EngineConfig) -> Engine:
    """Return the named engine, run by the workers of a Ray cluster. Each worker calls `make_engine`.

    Raises `EngineError` if the cluster cannot be reached or has no free resources.
    """
    from whylabel.engines.ray import RayEngine

    return RayEngine(name, model, options, config)
