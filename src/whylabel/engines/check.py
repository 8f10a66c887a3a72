"""Whether a recipe's engine, its options and its packages are there, before anything is computed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from whylabel.engines import ENGINES, find_factory
from whylabel.errors import EngineError, unknown_name
from whylabel.host.machine import usable_cores


def check_engine(name: str, options: Mapping[str, Any], *, distributed: bool) -> None:
    """Raise `EngineError` if there is no such engine, it does not take the options, or its packages are missing.

    What an engine from outside whylabel takes is known to itself alone.
    """
    if distributed and find_spec("ray") is None:
        raise EngineError(
            "Ray is not installed.", where="augment.engine.distributed", fix="pip install 'whylabel[ray]'"
        )
    if name != "auto":
        find_factory(name)
    if name in ENGINES or name == "auto":
        _CHECKS[name](options)


@contextmanager
def named_after(setting: str) -> Iterator[None]:
    """Name the setting that the user knows, where an engine's error names the one of stage 2a, `augment.engine`.

    An option of a command line (`--engine`) has its settings beside it: `--engine-option KEY`, `--workers`.
    """
    names = {"augment.engine": setting}
    if setting.startswith("--"):
        beside = {
            "augment.engine_options.": f"{setting}-option ",
            "augment.engine_options": f"{setting}-option",
        }
        names = {**beside, "augment.engine.": "--", **names}

    def named(text: str | None) -> str | None:
        for name, other in names.items():
            text = text and text.replace(name, other)
        return text

    try:
        yield
    except EngineError as error:
        raise EngineError(str(named(error.what)), where=named(error.where), fix=named(error.fix)) from error


def _check_auto(options: Mapping[str, Any]) -> None:
    """Raise `EngineError` if neither of the engines that `auto` picks from takes the options."""
    try:
        _check_transformers(options)
    except EngineError:
        from whylabel.engines.openvino import OpenVinoEngine, pick_precision

        _check_keywords(OpenVinoEngine, options)
        pick_precision(options.get("precision", "float32"), options.get("threads") or usable_cores())


def _check_transformers(options: Mapping[str, Any]) -> None:
    from whylabel.engines.transformers import TransformersEngine

    _check_keywords(TransformersEngine, options)


def _check_openvino(options: Mapping[str, Any]) -> None:
    from whylabel.engines.openvino import OpenVinoEngine, missing_packages, pick_precision

    if missing := missing_packages():
        raise EngineError(
            f"The engine openvino needs {', '.join(missing)}.",
            where="augment.engine",
            fix="pip install 'whylabel[openvino]'",
        )
    _check_keywords(OpenVinoEngine, options)
    pick_precision(options.get("precision", "float32"), options.get("threads") or usable_cores())


def _check_scripted(options: Mapping[str, Any]) -> None:
    from whylabel.engines.scripted import ScriptedEngine

    inspected = {"answers", *_keywords(ScriptedEngine)}
    _refuse_unknown(options, sorted(inspected))


def _check_openai(options: Mapping[str, Any]) -> None:
    from whylabel.engines.openai_options import OpenAIOptions, read_options

    read_options(OpenAIOptions, options).key()


def _check_vllm(options: Mapping[str, Any]) -> None:
    from whylabel.engines.openai_options import read_options
    from whylabel.engines.vllm import VllmOptions
    from whylabel.engines.vllm_server import find_command

    find_command(read_options(VllmOptions, options).command)


_CHECKS: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "auto": _check_auto,
    "transformers": _check_transformers,
    "openvino": _check_openvino,
    "scripted": _check_scripted,
    "openai": _check_openai,
    "vllm": _check_vllm,
}


def _check_keywords(engine: type, options: Mapping[str, Any]) -> None:
    _refuse_unknown(options, _keywords(engine))


def _keywords(engine: type) -> list[str]:
    """Return the options of an engine: its constructor's keyword arguments."""
    parameters = inspect.signature(engine).parameters.values()
    return [one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]


def _refuse_unknown(options: Mapping[str, Any], known: list[str]) -> None:
    for option in options:
        if option not in known:
            raise EngineError(unknown_name("option", option, known), where=f"augment.engine_options.{option}")
