"""Which engine a recipe means, and which of its options change what is written."""

from __future__ import annotations

from typing import Any

from whylabel.recipe import Recipe

# These run the same weights and differ by rounding alone; their options say how fast, not what.
_OF_ONE_MIND = ("auto", "transformers", "openvino", "vllm")
# Options that change what is written; all of an outsider's engine may.
_TELLING = {"openai": ("model", "api", "extra_body", "send_token_ids"), "scripted": ("answers",)}


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
    if name in _OF_ONE_MIND:
        return {}
    telling = _TELLING.get(name, tuple(options))
    told = {key: options[key] for key in telling if key in options}
    if name == "openai" and told.get("api") == "chat":
        # A chat is sent no ids, whatever this says.
        told.pop("send_token_ids", None)
    return {"engine": name, **told}
