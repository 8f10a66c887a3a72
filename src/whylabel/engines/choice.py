"""Which engine a recipe means, and which of its options change what is written."""

from __future__ import annotations

from typing import Any

from whylabel.recipe import Recipe

# These run the same weights and differ by rounding alone; their options say how fast, not what.
_EQUIVALENT_ENGINES = ("auto", "transformers", "openvino", "vllm")
# Options that change what is written; all of an outsider's engine may.
_OUTPUT_OPTIONS = {"openai": ("model", "api", "extra_body", "send_token_ids"), "scripted": ("answers",)}


def chosen_engine(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """Return the engine's name and options; an endpoint as reasoner is the engine `openai` with chat.

    Where and on how many machines it runs (`distributed` and what belongs to it) is no part of either.
    """
    reasoner, options = recipe.reasoner, recipe.augment.engine_options
    if reasoner.endpoint is None:
        return recipe.augment.engine.name, options
    return "openai", {"base_url": reasoner.endpoint, "model": reasoner.model, "api": "chat", **options}


def output_settings(recipe: Recipe) -> dict[str, Any]:
    """Return what of the engine and its options is part of a reasoning's settings: what changes its words."""
    name, options = chosen_engine(recipe)
    if name in _EQUIVALENT_ENGINES:
        return {}
    output_options = _OUTPUT_OPTIONS.get(name, tuple(options))
    settings = {key: options[key] for key in output_options if key in options}
    if name == "openai" and settings.get("api") == "chat":
        # A chat is sent no ids, whatever this says.
        settings.pop("send_token_ids", None)
    return {"engine": name, **settings}
