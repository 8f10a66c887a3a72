"""Which engine a recipe means, and which of its options change what is written."""

from __future__ import annotations

from typing import Any

from whylabel.recipe import Recipe

# These say where, how fast and for how much, but not what: changing them must not write a reasoning again.
_CIRCUMSTANCES = {
    "openai": {
        "base_url",
        "concurrency",
        "timeout_seconds",
        "max_retries",
        "api_key_variable",
        "price_per_million_input_tokens",
        "price_per_million_output_tokens",
    },
    "vllm": {"command", "concurrency", "start_seconds", "timeout_seconds"},
}


def chosen_engine(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """Return the engine's name and options; an endpoint as reasoner is the engine `openai` with chat."""
    reasoner, options = recipe.reasoner, recipe.augment.engine_options
    if reasoner.endpoint is None:
        return recipe.augment.engine, options
    return "openai", {"base_url": reasoner.endpoint, "model": reasoner.model, "api": "chat", **options}


def engine_identity(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """Return what of the engine and its options is part of a reasoning's identity."""
    name, options = chosen_engine(recipe)
    circumstances = _CIRCUMSTANCES.get(name, set())
    return name, {key: value for key, value in options.items() if key not in circumstances}
