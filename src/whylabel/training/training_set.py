"""What stage 2 shows a model in each epoch: which rows, in which form, with which of their reasonings.

Everything is decided by the seed and the epoch. A row is rendered once for each form and reasoning, and kept.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from whylabel.recipe import ClassifierConfig, ClassifierTrainingConfig
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import FORMS, Prompts, Rendered
from whylabel.text.several_labels import Separator
from whylabel.types import Example, Form, ReasonedExample, Target

Row = Example | ReasonedExample


class TrainingSet:
    """The examples of a target over labelled rows, with their reasonings where they have some.

    A target of one form: every row once an epoch. `dual` and `multi_task`: every row at once (`label`), and beside
    them as many with a reasoning as make up `reasoned_share`; above one half, all with a reasoning and fewer of these
    at once.
    Of a row's acceptable reasonings the first `reasonings_per_text` take turns, one in each epoch.
    """

    def __init__(
        self,
        prompts: Prompts,
        rows: Sequence[Row],
        target: Target,
        config: ClassifierConfig,
        training: ClassifierTrainingConfig,
        seed: int,
    ) -> None:
        self._prompts, self._rows, self._seed = prompts, rows, seed
        self._forms = FORMS[target]
        self._config, self._training = config, training
        self._rendered: dict[tuple[int, Form, int], Rendered] = {}
        counts = Counter(row.label for row in rows)
        even = len(rows) / len(counts) if counts else 1.0
        balanced = training.class_weight == "balanced"
        self._label_weights = {label: even / n if balanced else 1.0 for label, n in counts.items()}

    def epoch(self, number: int) -> list[Rendered]:
        """Return the examples of an epoch, from 0."""
        draw = random.Random(f"{self._seed}-{number}-rows")
        places = self._balanced(draw) if self._training.balanced_sampling else list(range(len(self._rows)))
        if len(self._forms) == 1:
            return [example for place in places for example in self._examples(place, self._forms[0], number)]
        at_once, with_reasoning = self._forms
        reasoned = [place for place in places if isinstance(self._rows[place], ReasonedExample)]
        share = self._config.reasoned_share
        if share > 0.5:
            bare = [place for place in places if not isinstance(self._rows[place], ReasonedExample)]
            both = max(0, round(len(reasoned) * (1 - share) / share) - len(bare))
            places = [*bare, *draw.sample(reasoned, both)]
        else:
            reasoned = draw.sample(reasoned, min(len(reasoned), round(len(places) * share / (1 - share))))
        return [
            *(example for place in places for example in self._examples(place, at_once, number)),
            *(example for place in reasoned for example in self._examples(place, with_reasoning, number)),
        ]

    def every(self) -> list[tuple[str, Rendered]]:
        """Return every example that any epoch may show, with its row's id."""
        return [
            (row.id, self._example(place, form, turn))
            for place, row in enumerate(self._rows)
            for form in self._forms
            if form == "label" or isinstance(row, ReasonedExample) or len(self._forms) == 1
            for turn in range(1 if form == "label" else len(self._reasonings(row)))
        ]

    def reasonings(self) -> list[str]:
        """Return every reasoning that any epoch may show."""
        return [
            text for row in self._rows for text in self._reasonings(row) if isinstance(row, ReasonedExample)
        ]

    def _examples(self, place: int, form: Form, epoch: int) -> list[Rendered]:
        """Return how a row is shown in a form."""
        return [self._example(place, form, epoch)]

    def _example(self, place: int, form: Form, epoch: int) -> Rendered:
        row = self._rows[place]
        texts = self._reasonings(row)
        turn = 0 if form == "label" else epoch % len(texts)
        key = (place, form, turn)
        if key not in self._rendered:
            weight = self._label_weights[row.label]
            if form != "label" and isinstance(row, ReasonedExample):
                weight *= row.weight
            reasoning = texts[turn] if isinstance(row, ReasonedExample) else None
            self._rendered[key] = self._prompts.classifier_example(
                row.text, row.label, reasoning, form, weight
            )
        return self._rendered[key]

    def _reasonings(self, row: Row) -> Sequence[str]:
        if not isinstance(row, ReasonedExample):
            return ("",)
        return (row.candidates or (row.reasoning,))[: self._config.reasonings_per_text]

    def _balanced(self, draw: random.Random) -> list[int]:
        by_label: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(self._rows):
            by_label[row.label].append(place)
        most = max(map(len, by_label.values()))
        found: list[int] = []
        for places in by_label.values():
            whole, rest = divmod(most, len(places))
            found += places * whole + draw.sample(places, rest)
        return sorted(found)


class DecisionSet(TrainingSet):
    """The same where a text may have several labels: what it is shown at once are decisions on single labels.

    In every epoch these are all labels that apply to a text, and `negatives` others, drawn anew.
    """

    def __init__(
        self,
        prompts: Prompts,
        rows: Sequence[Row],
        target: Target,
        config: ClassifierConfig,
        training: ClassifierTrainingConfig,
        seed: int,
        *,
        labels: LabelSet,
        separator: Separator,
    ) -> None:
        super().__init__(prompts, rows, target, config, training, seed)
        self._labels, self._separator = labels, separator
        self._longest = max(labels.names, key=lambda name: len(prompts.decision(name)))

    def _examples(self, place: int, form: Form, epoch: int) -> list[Rendered]:
        if form != "label":
            return super()._examples(place, form, epoch)
        row = self._rows[place]
        apply = set(self._separator.split(row.label))
        others = [name for name in self._labels.names if name not in apply]
        draw = random.Random(f"{self._seed}-{epoch}-{place}-negatives")
        shown = apply | set(draw.sample(others, min(self._config.negatives, len(others))))
        decisions = {name: name in apply for name in self._labels.names if name in shown}
        return self._prompts.decision_examples(row.text, decisions)

    def _example(self, place: int, form: Form, epoch: int) -> Rendered:
        if form != "label":
            return super()._example(place, form, epoch)
        # What is checked before the training: of a text's decisions, the longest stands for all.
        row = self._rows[place]
        applies = self._longest in self._separator.split(row.label)
        (example,) = self._prompts.decision_examples(row.text, {self._longest: applies})
        return example
