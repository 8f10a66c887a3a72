"""The engine that a recipe selects, and the options that change its output."""

from __future__ import annotations

from typing import Any, get_args

from whylabel.recipe import Recipe
from whylabel.types import PredictionEngine

# These engines run the same weights and differ only by rounding; their options change the speed, not the output, but
# for the precision that a recipe names.
_EQUIVALENT_ENGINES = get_args(PredictionEngine)
# Options that change the output. For an engine of another package, every option counts.
_OUTPUT_OPTIONS = {"openai": ("model", "api", "extra_body", "send_token_ids"), "scripted": ("answers",)}


def chosen_engine(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """Return the engine's name and options. `reasoner.endpoint` selects the engine `openai` with `api: chat`.

    `augment.engine.distributed` and the settings of the cluster are not included.
    """
    reasoner, options = recipe.reasoner, recipe.augment.engine_options
    if reasoner.endpoint is None:
        return recipe.augment.engine.name, options
    return "openai", {"base_url": reasoner.endpoint, "model": reasoner.model, "api": "chat", **options}


def output_settings(recipe: Recipe) -> dict[str, Any]:
    """Return the engine and the options that change a reasoning: they are part of the settings in the row store."""
    name, options = chosen_engine(recipe)
    if name in _EQUIVALENT_ENGINES:
        precision = options.get("precision", "auto")
        return {} if precision == "auto" else {"precision": precision}
    output_options = _OUTPUT_OPTIONS.get(name, tuple(options))
    settings = {key: options[key] for key in output_options if key in options}
    if name == "openai" and settings.get("api") == "chat":
        # Chat requests never contain token ids.
        settings.pop("send_token_ids", None)
    return {"engine": name, **settings}
