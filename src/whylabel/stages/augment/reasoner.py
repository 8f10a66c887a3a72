"""What writes the reasonings: an endpoint, a ready model, or the one that stage 1 has trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.engines.base import Completion, Engine, Sampling
from whylabel.errors import RecipeError
from whylabel.host.progress import say
from whylabel.recipe import Recipe
from whylabel.text.prompts import Briefing, Prompt, Prompts, endpoint_prompt

if TYPE_CHECKING:
    from whylabel.models.load import ModelSource

Ask = Callable[[str, str | None], Prompt]
"""From a text and its label (None: without it) to the prompt."""


@dataclass(frozen=True, slots=True)
class Reasoner:
    """An engine, how it is asked and drawn from, and what its output depends on."""

    name: str
    engine: Engine
    ask: Ask
    sampling: Sampling
    settings: Mapping[str, Any]
    """Everything but row and token limit that changes a reasoning: model, prompt format, sampling."""
    decode: Callable[[Sequence[int]], str] = str
    """From a prompt's ids to its text, for people."""


@contextmanager
def open_reasoner(
    recipe: Recipe, trained: str | Path, settings: Mapping[str, Any], briefing: Briefing | None = None
) -> Iterator[Reasoner]:
    """Open the reasoner that the recipe means; `trained` is the model of stage 1.

    `briefing` is what an endpoint is told beside each row; other reasoners are asked as they were trained.
    Its engine is opened for the first prompt, and closed at the end, however that comes.
    """
    from whylabel.engines import make_engine, spread
    from whylabel.engines.choice import chosen_engine
    from whylabel.models.load import ModelSource

    source = ModelSource(recipe.reasoner.model or str(trained), recipe.device)
    ask, stop_ids = _asking(recipe, source, briefing)
    name, options = chosen_engine(recipe)
    config = recipe.augment.engine

    def open_engine() -> Engine:
        opened = (
            spread(name, source, options, config)
            if config.distributed
            else make_engine(name, source, options)
        )
        say(f"  engine {opened.name}{source.place}")
        return opened

    engine = _OpenedWhenNeeded(name, open_engine)
    sampling = recipe.augment.sampling
    try:
        yield Reasoner(
            name=recipe.reasoner.model or "reasoner",
            engine=engine,
            ask=ask,
            sampling=Sampling(
                max_new_tokens=sampling.max_new_tokens,
                stop_ids=stop_ids,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=recipe.seed,
            ),
            settings=settings,
            decode=lambda ids: str(source.tokenizer.decode(list(ids))),
        )
    finally:
        engine.close()


class _OpenedWhenNeeded:
    """An engine that is opened for its first prompts: where every reasoning has been written, no model is loaded."""

    def __init__(self, name: str, open_engine: Callable[[], Engine]) -> None:
        self.name = name
        self._open = open_engine
        self._engine: Engine | None = None

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as the engine does."""
        if self._engine is None:
            self._engine = self._open()
        return self._engine.generate(prompts, sampling)

    def close(self) -> None:
        """Close the engine, if it was opened."""
        if self._engine is not None:
            self._engine.close()


def _asking(recipe: Recipe, source: ModelSource, briefing: Briefing | None) -> tuple[Ask, tuple[int, ...]]:
    """Return how a text is asked about, and the tokens that end the answer."""
    question = recipe.task.question
    if recipe.reasoner.endpoint is not None:
        return lambda text, label: endpoint_prompt(text, question, label, briefing), ()
    _check_style(recipe, source)
    prompts = Prompts(source.tokenizer, recipe.prompt_style, question, recipe.task.name, source.end_ids)
    limit, stop_ids = recipe.data.max_text_tokens, tuple(sorted(prompts.stop_ids))
    if limit is None:
        return prompts.reasoner_for_text, stop_ids
    return lambda text, label: prompts.reasoner_for_text(prompts.trim(text, limit), label), stop_ids


def _check_style(recipe: Recipe, source: ModelSource) -> None:
    """Raise `RecipeError` or `ModelError` if a reasoner of ours was trained on prompts of another style or format."""
    from whylabel.models.load import CARD, check_prompt_format, read_card

    folder = Path(source.source)
    card = read_card(folder) if (folder / CARD).is_file() else {}
    check_prompt_format(card, folder)
    if card.get("role") == "reasoner" and recipe.augment.condition != "label":
        _warn_of_unseen_prompts(card)
    style = card.get("prompt_style")
    if style not in (None, recipe.prompt_style):
        raise RecipeError(
            f"This reasoner was trained with prompt_style {style}, the recipe says {recipe.prompt_style}.",
            where=str(folder),
            fix=f"set prompt_style: {style}, or name another reasoner.model",
        )


def _warn_of_unseen_prompts(card: Mapping[str, Any]) -> None:
    if not card.get("without_answer_share"):
        say(
            "  Warning: this reasoner has never seen a prompt without an answer, as augment.condition asks: "
            "train one with reasoner.without_answer_share=0.5"
        )
