"""Which reasonings of a trained model are shown: no reason rather than a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from whylabel.prediction.card import ModelCard
from whylabel.reasonings.filters import refusal
from whylabel.types import Mode, Prediction, ReasonedExample

WITHHELD = "withheld: "
"""How a `reasoning_status` begins where a reasoning is not to be shown."""
_ELSEWHERE = "leads to another label"
_UNSURE = "unsure"
_UNRELATED = "unrelated"
# From this weight on, a blended label rests on the answer after the reasoning.
_RESTS_ON_REASONING = 0.5


class Withholding:
    """Decides for each reasoning of a model whether it is shown: by the filters in its card, and by where it leads.

    Raises `RecipeError` if the card names a filter that is not installed.
    """

    def __init__(self, card: ModelCard, fluency: Callable[[str, str], float] | None = None) -> None:
        """`fluency` gives that of a reasoning about a text; it is only called if the card names this filter."""
        question = card.filters.question or card.question
        labels = card.filters.labels or list(card.labels.names)
        self._refuse = refusal(card.filters.model_copy(update={"question": question, "labels": labels}))
        self._fluency = fluency if "fluency" in card.filters.names else None
        self._blend_weight = card.calibration.blend_weight
        self._min_probability = card.filters.min_probability
        self._min_effect = card.filters.min_effect

    @property
    def measures_effects(self) -> bool:
        """Whether it asks for the effect of what a reasoning quotes on its label."""
        return self._min_effect is not None

    def refuses(self, text: str, label: str, reasoning: str, *, finished: bool) -> str | None:
        """Return the first filter's reason against a reasoning beside a label; None if all let it pass."""
        fluency = self._fluency(text, reasoning) if self._fluency is not None else None
        row = ReasonedExample("", text, label, reasoning, finished=finished, fluency=fluency)
        return self._refuse(row)

    def may_be_shown(
        self,
        text: str,
        label: str,
        reasoning: str,
        *,
        finished: bool,
        probability: float,
        effect: float | None,
    ) -> bool:
        """Return whether a reasoning may stand beside the label that it leads to; see `status`."""
        if probability < self._min_probability or self._is_unrelated(effect):
            return False
        return self.refuses(text, label, reasoning, finished=finished) is None

    def status(
        self,
        mode: Mode,
        text: str,
        label: str,
        reasoning: str,
        *,
        finished: bool,
        leads_to: str,
        probability: float,
        effect: float | None,
    ) -> str:
        """Return the `reasoning_status` of a prediction.

        `leads_to` is the most probable label after the reasoning, `probability` that of the label without it, if
        the model can answer at once. `effect` is how far log p of `leads_to` falls, in nats, without the words
        that the reasoning quotes; None if that was not measured.
        """
        refused = self.refuses(text, label, reasoning, finished=finished)
        if refused is None and leads_to != label:
            refused = _ELSEWHERE
        if refused is None and probability < self._min_probability:
            refused = _UNSURE
        if refused is None and self._is_unrelated(effect):
            refused = _UNRELATED
        if refused is not None:
            return f"{WITHHELD}{refused}"
        rests_on_it = mode != "blend" or (self._blend_weight or 0.0) >= _RESTS_ON_REASONING
        return "ok" if rests_on_it else "afterthought"

    def _is_unrelated(self, effect: float | None) -> bool:
        return effect is not None and self._min_effect is not None and effect < self._min_effect


def is_withheld(prediction: Prediction) -> bool:
    """Return whether a prediction has a reasoning that is not to be shown."""
    return withheld_because(prediction) is not None


def withheld_because(prediction: Prediction) -> str | None:
    """Return the reason for which a prediction's reasoning is not to be shown; None if it may be."""
    status = prediction.reasoning_status or ""
    return status.removeprefix(WITHHELD) if status.startswith(WITHHELD) else None


def shown(prediction: Prediction) -> Prediction:
    """Return a prediction as people see it: without a reasoning that is withheld."""
    return replace(prediction, reasoning=None) if is_withheld(prediction) else prediction
