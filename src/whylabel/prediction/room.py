"""How long a text may be where a model has a fixed number of positions: prompt, reasoning and label must fit, too."""

from __future__ import annotations

from whylabel.errors import ModelError
from whylabel.prediction.card import ModelCard
from whylabel.text.prompts import Prompts
from whylabel.types import Form

# At its borders a text may be encoded in other tokens than by itself, and a reasoning in more than were written.
_SPARE_TOKENS = 8
_LEAST_TOKENS = 8


def text_limit(card: ModelCard, prompts: Prompts, positions: int | None) -> int:
    """Return the most tokens of a text: the card's limit, or fewer if the model's positions are not enough for it.

    Raises `ModelError` if they leave no room for a text.
    """
    if positions is None:
        return card.max_text_tokens
    room = positions - _without_text(card, prompts) - _SPARE_TOKENS
    if room < _LEAST_TOKENS:
        raise ModelError(
            f"The model's {positions} positions leave no room for a text beside the rest of the prompt and "
            f"{card.max_reasoning_tokens} tokens of reasoning.",
            fix="set a lower classifier.max_reasoning_tokens, or use a model with more positions",
        )
    return min(card.max_text_tokens, room)


def _without_text(card: ModelCard, prompts: Prompts) -> int:
    """Return how many tokens the longest prompt with its label has, besides those of the text."""
    text, names = "a", card.labels.names
    if card.multi_label is not None:
        asked = max(len(prompts.decision_question(name)) for name in names)
        answered = max(len(prompts.decision_answer(yes)) for yes in (True, False))
        return len(prompts.decision_prefix(text)) - prompts.count(text) + asked + answered
    form: Form = "label_reasoning" if card.target == "label_reasoning" else "label"
    longest = len(prompts.classifier(text, form))
    if "reasoned" in card.modes:
        longest = max(longest, len(prompts.after_reasoning(text, "")) + card.max_reasoning_tokens)
    return longest - prompts.count(text) + max(len(prompts.label_ids(name, form)) for name in names)
