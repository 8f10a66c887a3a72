"""What all parts of the stage share: the work at hand, and the rows a few thousand at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from whylabel.reasonings.store import Place, ReasoningStore, StoredReasoning
from whylabel.recipe import AugmentConfig
from whylabel.stages.augment.reasoner import Reasoner
from whylabel.stages.augment.verification import Verifiers
from whylabel.text.several_labels import Separator
from whylabel.types import Condition, Example, Lift, ReasonedExample

Retry = Literal["failed", "length"]

OWN = "data"
"""What stands in place of a reasoner where a reasoning came with the data."""
_CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Work:
    """What stays the same over all rows of a call."""

    reasoner: Reasoner
    store: ReasoningStore
    config: AugmentConfig
    verifiers: Verifiers | None = None
    """None: nothing judges the reasonings."""
    retry: frozenset[Retry] = frozenset()
    excluded: frozenset[str] = frozenset()
    """Ids of rows that get no reasoning."""
    separator: Separator | None = None
    """What separates the labels of a text; None if each text has one."""
    fluency: Verifiers | None = None
    """What judges how fluent a reasoning is; None if no filter asks for it."""

    @cached_property
    def settings(self) -> int:
        """The number of the reasoner's settings in the store."""
        return self.store.settings_number(self.reasoner.settings)

    @property
    def token_limit(self) -> int:
        """How many tokens a reasoning may have."""
        return self.reasoner.sampling.max_new_tokens

    def stored(self, rows: Sequence[str]) -> dict[Place, StoredReasoning]:
        """Return what the store has for some rows under the settings and the token limit of this work."""
        return self.store.find(rows, self.settings, self.token_limit)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that reasonings are written under, the preferred one first."""
        if self.config.condition == "free_then_label":
            return ("free", "label")
        return (self.config.condition,)

    def writes(self, example: Example) -> bool:
        """Return whether a row's reasoning is for the reasoner to write."""
        return not example.reasoning and example.id not in self.excluded

    def candidates(
        self, row: str, example: Example, stored: Mapping[Place, StoredReasoning]
    ) -> list[ReasonedExample]:
        """Return the finished candidates of a row, in the order of preference.

        The only one of a row that came with a reasoning is that reasoning.
        """
        if example.reasoning:
            own = (example.id, example.text, example.label, example.reasoning)
            return [ReasonedExample(*own, reasoner=OWN, condition="own")]
        places = [
            (row, condition, at) for condition in self.conditions for at in range(self.config.candidates)
        ]
        found = [stored[place] for place in places if place in stored]
        return [self.reasoned(example, item) for item in found if item.state == "done"]

    def reasoned(self, example: Example, stored: StoredReasoning) -> ReasonedExample:
        """Return an example with a reasoning that was written for it."""
        return ReasonedExample(
            id=example.id,
            text=example.text,
            label=example.label,
            reasoning=stored.reasoning,
            reasoner=self.reasoner.name,
            finished=stored.finished,
            condition=stored.condition,
            candidate=stored.candidate,
        )

    def leads_to_its_label(self, lift: Lift | None) -> bool:
        """Return whether a verdict, if any is asked for, is good enough."""
        return self.verifiers is None or (
            lift is not None and lift.margin > self.config.verification.min_margin
        )


def chunks(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    """Yield the examples a few thousand at a time."""
    return (examples[start : start + _CHUNK_ROWS] for start in range(0, len(examples), _CHUNK_ROWS))
