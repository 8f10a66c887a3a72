"""The training examples of stage 2 in each epoch: which rows, in which form, with which of their reasonings.

They depend only on the seed and the epoch. Each (row, form, reasoning) is rendered once and cached.
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
    """The training examples of a target, from labelled rows with or without reasonings.

    A target with one form uses every row once per epoch. `dual` and `multi_task` use every row in the form `label`,
    and as many rows in the form with a reasoning as `reasoned_share` needs. Above one half, they use every row with
    a reasoning, and fewer of these rows in the form `label`. Each epoch uses the next of a row's first
    `reasonings_per_text` acceptable reasonings.
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
        mean_count = len(rows) / len(counts) if counts else 1.0
        balanced = training.class_weight == "balanced"
        self._label_weights = {label: mean_count / n if balanced else 1.0 for label, n in counts.items()}

    def epoch(self, number: int) -> list[Rendered]:
        """Return the examples of an epoch, from 0."""
        rng = random.Random(f"{self._seed}-{number}-rows")
        places = self._balanced(rng) if self._training.balanced_sampling else list(range(len(self._rows)))
        if len(self._forms) == 1:
            return [example for place in places for example in self._examples(place, self._forms[0], number)]
        label_form, reasoning_form = self._forms
        reasoned = [place for place in places if isinstance(self._rows[place], ReasonedExample)]
        share = self._config.reasoned_share
        if share > 0.5:
            without_reasoning = [
                place for place in places if not isinstance(self._rows[place], ReasonedExample)
            ]
            in_both_forms = max(0, round(len(reasoned) * (1 - share) / share) - len(without_reasoning))
            places = [*without_reasoning, *rng.sample(reasoned, in_both_forms)]
        else:
            reasoned = rng.sample(reasoned, min(len(reasoned), round(len(places) * share / (1 - share))))
        return [
            *(example for place in places for example in self._examples(place, label_form, number)),
            *(example for place in reasoned for example in self._examples(place, reasoning_form, number)),
        ]

    def every(self) -> list[tuple[str, Rendered]]:
        """Return every example that any epoch may contain, with the id of its row."""
        return [
            (row.id, self._example(place, form, number))
            for place, row in enumerate(self._rows)
            for form in self._forms
            if form == "label" or isinstance(row, ReasonedExample) or len(self._forms) == 1
            for number in range(1 if form == "label" else len(self._reasonings(row)))
        ]

    def reasonings(self) -> list[str]:
        """Return every reasoning that any epoch may contain."""
        return [
            text for row in self._rows for text in self._reasonings(row) if isinstance(row, ReasonedExample)
        ]

    def _examples(self, place: int, form: Form, epoch: int) -> list[Rendered]:
        """Return the examples of a row in a form."""
        return [self._example(place, form, epoch)]

    def _example(self, place: int, form: Form, epoch: int) -> Rendered:
        row = self._rows[place]
        texts = self._reasonings(row)
        number = 0 if form == "label" else epoch % len(texts)
        key = (place, form, number)
        if key not in self._rendered:
            weight = self._label_weights[row.label]
            if form != "label" and isinstance(row, ReasonedExample):
                weight *= row.weight
            reasoning = texts[number] if isinstance(row, ReasonedExample) else None
            self._rendered[key] = self._prompts.classifier_example(
                row.text, row.label, reasoning, form, weight
            )
        return self._rendered[key]

    def _reasonings(self, row: Row) -> Sequence[str]:
        if not isinstance(row, ReasonedExample):
            return ("",)
        return (row.candidates or (row.reasoning,))[: self._config.reasonings_per_text]

    def _balanced(self, rng: random.Random) -> list[int]:
        by_label: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(self._rows):
            by_label[row.label].append(place)
        most = max(map(len, by_label.values()))
        found: list[int] = []
        for places in by_label.values():
            whole, rest = divmod(most, len(places))
            found += places * whole + rng.sample(places, rest)
        return sorted(found)


class DecisionSet(TrainingSet):
    """The training examples if a text may have several labels: the form `label` is a decision on each single label.

    In every epoch a text has decisions on all labels that apply, and on `negatives` other labels, sampled anew.
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
        self._longest = max(labels.names, key=lambda name: len(prompts.decision_question(name)))

    def _examples(self, place: int, form: Form, epoch: int) -> list[Rendered]:
        if form != "label":
            return super()._examples(place, form, epoch)
        row = self._rows[place]
        apply = set(self._separator.split(row.label))
        others = [name for name in self._labels.names if name not in apply]
        rng = random.Random(f"{self._seed}-{epoch}-{place}-negatives")
        shown = apply | set(rng.sample(others, min(self._config.negatives, len(others))))
        decisions = {name: name in apply for name in self._labels.names if name in shown}
        return self._prompts.decision_examples(row.text, decisions)

    def _example(self, place: int, form: Form, epoch: int) -> Rendered:
        if form != "label":
            return super()._example(place, form, epoch)
        # Only used by the checks before training: the longest decision represents all decisions of a text.
        row = self._rows[place]
        applies = self._longest in self._separator.split(row.label)
        (example,) = self._prompts.decision_examples(row.text, {self._longest: applies})
        return example
