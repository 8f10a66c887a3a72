"""What a run starts from: its recipe, the labelled texts, the reasoning rows and the base model."""

from __future__ import annotations

from functools import cached_property
from itertools import chain
from typing import Any

from whylabel.data import load_dataset, load_reasoning
from whylabel.errors import DataError
from whylabel.models.fingerprint import model_fingerprint
from whylabel.prediction.card import TrainingColumns
from whylabel.prediction.multi_label import MultiLabel, multi_label_of
from whylabel.recipe import DataConfig, FilterConfig, Recipe
from whylabel.text.hashes import fingerprint, reasonings_fingerprint, rows_fingerprint
from whylabel.text.labels import LabelSet
from whylabel.types import Dataset, QuestionAnswer


class Inputs:
    """What a recipe names, or a data set given instead. Each part is read when it is first used, then kept."""

    def __init__(self, recipe: Recipe, dataset: Dataset | None = None) -> None:
        self.recipe = recipe
        self.given = dataset
        """The data set that was given in place of the recipe's."""

    @cached_property
    def dataset(self) -> Dataset:
        """The labelled texts: given, or those that the recipe names."""
        return self.given or load_dataset(self.recipe.data, self.recipe.task, seed=self.recipe.seed)

    @property
    def source(self) -> str:
        """Where the labelled texts come from."""
        return self.recipe.data.source if self.given is None else "given by a program"

    @cached_property
    def description(self) -> dict[str, Any]:
        """The entry of `run.json` about the labelled texts."""
        dataset = self.dataset
        return {
            "source": self.source,
            "fingerprint": fingerprint(self.data_fingerprints),
            "rows": {name: len(rows) for name, rows in dataset.splits().items()},
            "labels": list(self.labels.names),
            "inferred": dataset.inferred,
        }

    def check_test(self) -> None:
        """Raise `DataError` if there is no test split."""
        if not self.dataset.test:
            raise DataError(
                "There is no test split to evaluate on.",
                where=f"data.source: {self.recipe.data.source}",
                fix="name a file with test rows in data.test; one is cut only from labels with two texts or more",
            )

    @cached_property
    def data_fingerprints(self) -> dict[str, str]:
        """Hashes of the labelled texts' content, by split."""
        return {split: rows_fingerprint(rows) for split, rows in self.dataset.splits().items()}

    @cached_property
    def own_reasonings(self) -> str | None:
        """Hash of the reasonings that train rows came with; None if none did."""
        return reasonings_fingerprint(self.dataset.train)

    @cached_property
    def labels(self) -> LabelSet:
        """The closed label set; a sample of the rows does not shrink it."""
        every = self.dataset.labels or self._labels_of_rows()
        labels = LabelSet.from_labels(every, self.recipe.task.labels)
        if self.multi_label is not None:
            self.multi_label.separator.check(labels.names)
        return labels

    @cached_property
    def multi_label(self) -> MultiLabel | None:
        """How a text's several labels are separated; None if each text has one label."""
        return multi_label_of(self.recipe.task)

    @property
    def columns(self) -> TrainingColumns | None:
        """The columns of the labelled texts, named or recognised; None for texts that were given without columns."""
        named = self.recipe.data if self.given is None else DataConfig()
        found = self.dataset.inferred
        text = named.text_column or found.get("text_column")
        if text is None:
            return None
        label = named.label_column or found.get("label_column")
        return TrainingColumns(text, label, named.id_column or found.get("id_column"))

    def _labels_of_rows(self) -> set[str]:
        held = {row.label for row in chain.from_iterable(self.dataset.splits().values())}
        if self.multi_label is None:
            return held
        return {name for label in held for name in self.multi_label.separator.split(label)}

    @cached_property
    def reasoning_rows(self) -> tuple[tuple[QuestionAnswer, ...], tuple[QuestionAnswer, ...]]:
        """Train and held-out rows of stage 1."""
        return load_reasoning(self.recipe.reasoner, seed=self.recipe.seed)

    @cached_property
    def base_fingerprint(self) -> str:
        """Identity of the base model's weights."""
        return model_fingerprint(self.recipe.base_model)

    @cached_property
    def filters(self) -> FilterConfig:
        """The recipe's filter settings, completed with the task's question, and its labels if they are used."""
        filters = self.recipe.augment.filters
        question = self.recipe.task.question if filters.question is None else filters.question
        labels = filters.labels
        if "contradiction" in filters.names and labels is None:
            labels = list(self.labels.names)
        return filters.model_copy(update={"question": question, "labels": labels})
