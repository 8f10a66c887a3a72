"""Does a reasoning lead to its label? The lift that it gives the gold label, with the words of labels masked.

A reasoning that was written for a known label can argue for anything. So another model reads the text with the
reasoning and without it, and the lift is by how much each label becomes more probable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from whylabel.models.load import LoadedModel
from whylabel.prediction.scoring import LabelScorer, probabilities
from whylabel.reasonings.masking import mask_words, names
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import Prompts
from whylabel.types import Example, Lift, ReasonedExample

_LEAST = 1e-30


class Judge(Protocol):
    """A model that judges reasonings."""

    def lifts(self, rows: Sequence[ReasonedExample]) -> list[Lift]:
        """Return its verdict on each reasoning."""


@dataclass(frozen=True, slots=True)
class Verifiers:
    """The models that judge reasonings, each opened when it is needed, and which of them judges a row."""

    identity: str
    """Fingerprint of everything that a verdict depends on besides the row."""
    each: Sequence[Callable[[], Judge]]
    of_row: Mapping[str, int] = field(default_factory=dict)
    """By the id of a row, the place of its verifier, which was not trained on it. Other rows: the first."""

    def rows_of(self, place: int, examples: Sequence[Example]) -> list[Example]:
        """Return the examples that the verifier at this place judges."""
        return [row for row in examples if self.of_row.get(row.id, 0) == place]


@dataclass
class Verifier:
    """A local model that judges reasonings.

    `trained` says whether it was trained to label texts (a baseline): it then reads the reasoning as more of the
    text. Any other causal LM is asked for the answer in words.
    """

    loaded: LoadedModel
    prompts: Prompts
    labels: LabelSet
    trained: bool
    max_text_tokens: int | None = None
    """Longer texts are trimmed to this many tokens."""

    def lifts(self, rows: Sequence[ReasonedExample]) -> list[Lift]:
        """Return the lift of each reasoning, in nats.

        With p normalised over the label set, the lift of a label is log p(label | text, masked reasoning) -
        log p(label | text); the rival is the other label that is most probable given both.
        """
        texts = list(dict.fromkeys(row.text for row in rows))
        before = dict(zip(texts, self._log_probabilities([(text, "") for text in texts]), strict=True))
        pairs = [(row.text, mask_labels(row.reasoning, row.label, self.labels)) for row in rows]
        after = self._log_probabilities(pairs)
        return [self._lift(row.label, before[row.text], now) for row, now in zip(rows, after, strict=True)]

    def _lift(self, label: str, before: NDArray[np.float64], after: NDArray[np.float64]) -> Lift:
        gold = self.labels.index(label)
        others = after.copy()
        others[gold] = -np.inf
        rival = int(others.argmax())
        change = after - before
        return Lift(float(change[gold]), self.labels.names[rival], float(change[rival]))

    def _log_probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        scores = self._scorer.log_scores([self._prompt(text, reasoning) for text, reasoning in pairs])
        return np.asarray(np.log(np.maximum(probabilities(scores), _LEAST)))

    def _prompt(self, text: str, reasoning: str) -> list[int]:
        if self.max_text_tokens is not None:
            text = self.prompts.trim(text, self.max_text_tokens)
        if self.trained:
            return self.prompts.classifier(f"{text}\n{reasoning}" if reasoning else text, "label")
        return self.prompts.recovery(f"{text}\n{self.prompts.question}", reasoning)

    @cached_property
    def _scorer(self) -> LabelScorer:
        to_ids = self.prompts.label_ids if self.trained else self.prompts.answer_ids
        return LabelScorer(self.loaded, [to_ids(name) for name in self.labels.names])


def mask_labels(reasoning: str, label: str, labels: LabelSet) -> str:
    """Return the reasoning without the words of its label, and without every other label that it names.

    The words of labels that it does not name are not masked: with 77 labels of several words, little would be left.
    """
    named = [name for name in labels.names if name != label and names(reasoning, name)]
    return mask_words(reasoning, [label, *named])
