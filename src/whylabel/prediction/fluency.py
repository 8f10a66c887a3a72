"""How fluent a reasoning is to a model that has not learnt to write such: its mean log-probability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from whylabel.models.load import LoadedModel
from whylabel.prediction.scoring import mean_log_probabilities
from whylabel.text.prompts import Prompts, question_about
from whylabel.types import Lift, QuestionAnswer, ReasonedExample

SHARE_BELOW = 0.05
"""The share of the reasoner's own training rows that are below the learnt limit."""


class Fluency:
    """Judges reasonings by the untrained base model, in the prompt that asks for one without giving the answer."""

    def __init__(self, loaded: LoadedModel, prompts: Prompts, max_text_tokens: int | None = None) -> None:
        """Longer texts are trimmed to `max_text_tokens`."""
        self._loaded, self._prompts, self._max_text_tokens = loaded, prompts, max_text_tokens

    def of(self, text: str, reasoning: str) -> float:
        """Return the fluency of a reasoning about a text, in nats per token."""
        if self._max_text_tokens is not None:
            text = self._prompts.trim(text, self._max_text_tokens)
        return self._of([(question_about(text, self._prompts.question), reasoning)])[0]

    def limit(self, rows: Iterable[QuestionAnswer]) -> float:
        """Return the fluency that all but `SHARE_BELOW` of these rows reach."""
        return float(np.quantile(self._of([(row.question, row.reasoning) for row in rows]), SHARE_BELOW))

    def lifts(self, rows: Sequence[ReasonedExample]) -> list[Lift]:
        """Return the fluency of each reasoning in the form in which the row store keeps verdicts: as `gold`."""
        return [Lift(self.of(row.text, row.reasoning), "", 0.0) for row in rows]

    def _of(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        prompts = [self._prompts.reasoner(question, None) for question, _ in pairs]
        return mean_log_probabilities(
            self._loaded, prompts, [self._prompts.answer_ids(reasoning) for _, reasoning in pairs]
        )
