"""What a run starts from: its recipe, the labelled texts, the reasoning rows and the base model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from itertools import chain
from typing import Any

from whylabel.data import load_dataset, load_reasoning
from whylabel.data.cells import is_missing, text_of
from whylabel.data.examples import Examples
from whylabel.data.findings import counted
from whylabel.data.reasonings import examples_to_show
from whylabel.errors import DataError, RecipeError, unknown_name
from whylabel.evaluation.grouping import KINDS, column_of
from whylabel.models.fingerprint import model_fingerprint
from whylabel.models.load import ModelSource
from whylabel.prediction.card import TrainingColumns
from whylabel.prediction.multi_label import MultiLabel, multi_label_of
from whylabel.recipe import DataConfig, FilterConfig, Recipe
from whylabel.recipe.reasoner import OWN_ROWS
from whylabel.text.hashes import fingerprint, reasonings_fingerprint, rows_fingerprint
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import EXAMPLES_SHOWN, Briefing, Prompts, question_about
from whylabel.types import Dataset, QuestionAnswer

_FEWEST_ALONE = 4
"""With fewer rows, none could be held out for the gate."""


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

    @property
    def slice_columns(self) -> list[str]:
        """The columns of the data that `evaluation.slices` names."""
        return [name for name in map(column_of, self.recipe.evaluation.slices) if name is not None]

    def check_slices(self) -> None:
        """Raise `DataError` if `evaluation.slices` names a column that the test rows do not have."""
        for name in self.slice_columns:
            test = self.dataset.test
            columns = test.columns if isinstance(test, Examples) else ()
            if name not in columns:
                raise DataError(
                    unknown_name("slice", name, (*KINDS, *columns)), where="recipe: evaluation.slices"
                )

    @cached_property
    def slice_cells(self) -> dict[str, list[str | None]]:
        """The test rows' cells in these columns as texts, None where there is none. Raises `DataError`."""
        self.check_slices()
        test = self.dataset.test
        return {
            name: [None if is_missing(cell) else text_of(cell) for cell in test.cells(name)]
            for name in self.slice_columns
            if isinstance(test, Examples)
        }

    @cached_property
    def rows_to_write(self) -> int:
        """How many train rows came without a reasoning."""
        own = 0 if self.own_reasonings is None else sum(bool(row.reasoning) for row in self.dataset.train)
        return len(self.dataset.train) - own

    @property
    def trains_reasoner(self) -> bool:
        """Whether stage 1 is needed: the recipe names no ready reasoner, and a row came without a reasoning."""
        return self.recipe.reasoner.model is None and self.rows_to_write > 0

    @cached_property
    def own_reasonings(self) -> str | None:
        """Hash of the reasonings that train rows came with; None if none did."""
        return reasonings_fingerprint(self.dataset.train)

    @cached_property
    def briefing(self) -> Briefing:
        """What an endpoint is told beside each row."""
        rows = () if self.own_reasonings is None else self.dataset.train
        return Briefing(self.labels.names, examples_to_show(rows, EXAMPLES_SHOWN + 1))

    @cached_property
    def labels(self) -> LabelSet:
        """The closed label set; a sample of the rows does not shrink it. Raises `LabelError` naming the data."""
        every = self.dataset.labels or self._labels_of_rows()
        labels = LabelSet.from_labels(every, self.recipe.task.labels, where=self.source)
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
        config = self.recipe.reasoner
        own = self._own_rows() if OWN_ROWS in config.sources else ()
        return load_reasoning(config, seed=self.recipe.seed, own=own)

    def _own_rows(self) -> tuple[QuestionAnswer, ...]:
        """Return the train rows that came with a reasoning, each with the question that stage 2a asks about it.

        Raises `RecipeError` if no column of reasonings is named, `DataError` if there are too few rows.
        """
        recipe = self.recipe
        if self.given is None and recipe.data.reasoning_column is None:
            raise RecipeError(
                "reasoner.data names your own reasonings (own), but no column of the data has them.",
                where="recipe: reasoner.data",
                fix="name the column: data.reasoning_column; or remove own from reasoner.data",
            )
        rows = [row for row in self.dataset.train if row.reasoning]
        needed = _FEWEST_ALONE if recipe.reasoner.sources == [OWN_ROWS] else 1
        if len(rows) < needed:
            raise DataError(
                f"reasoner.data names your own reasonings (own), which {counted(len(rows), 'train row')} "
                f"{'has' if len(rows) == 1 else 'have'}: {needed} or more are needed.",
                where=self.source,
                fix="write more of them, or train on others, too: reasoner.data=[builtin:cues,own]"
                if rows
                else "write some, or remove own from reasoner.data",
            )
        trim = self._trim()
        question = recipe.task.question
        return tuple(
            QuestionAnswer(row.id, question_about(trim(row.text), question), row.label, row.reasoning)
            for row in rows
        )

    def _trim(self) -> Callable[[str], str]:
        """Return what cuts a text as it is cut where the reasoner is asked about it."""
        limit = self.recipe.data.max_text_tokens
        if limit is None:
            return str
        tokenizer = ModelSource(self.recipe.reasoner.base_model or self.recipe.base_model).tokenizer
        return partial(Prompts(tokenizer).trim, max_tokens=limit)

    @cached_property
    def base_fingerprint(self) -> str:
        """Identity of the base model's weights."""
        return model_fingerprint(self.recipe.base_model)

    def _filters_compare_labels(self) -> bool:
        """Return whether a filter looks for other labels than that of the row."""
        augment, rounds = self.recipe.augment, self.recipe.classifier.self_training_rounds
        written_free = augment.condition != "label" or rounds > 0
        return "contradiction" in augment.filters.names or ("leak" in augment.filters.names and written_free)

    @cached_property
    def filters(self) -> FilterConfig:
        """The recipe's filter settings, completed with the task's question, and its labels if they are used."""
        filters = self.recipe.augment.filters
        question = self.recipe.task.question if filters.question is None else filters.question
        labels = filters.labels
        if labels is None and self._filters_compare_labels():
            labels = list(self.labels.names)
        return filters.model_copy(update={"question": question, "labels": labels})
