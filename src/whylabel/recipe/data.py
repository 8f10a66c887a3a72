"""The labelled texts, and the question about them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from whylabel.errors import LabelError
from whylabel.recipe.section import Answers, Later, Section
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator


class TaskConfig(Section):
    """The question about each text, and its possible answers."""

    type: Literal["single_label", "multi_label"] = "single_label"
    """`single_label`: each text has exactly one label. `multi_label`: any number of them, each decided separately."""
    label_separator: str = Field(",", min_length=1)
    """`multi_label`: what separates the labels of a text if the cell is a string; no label may contain it.
    In JSON lines and Parquet a cell may be a list; an empty list means that no label applies."""
    question: str = Field("Which label fits the text?", min_length=1)
    """The question about each text; the reasoner and the chat prompts show it."""
    name: str = Field("Label", min_length=1)
    """One word for what the label is (Emotion, Intent, ...); compact prompts end with it."""
    labels: list[str] | None = None
    """All labels in order. Default: the labels in the data, sorted. For integer labels, the list gives the names of
    0, 1, 2, ..."""

    @field_validator("labels", mode="before")
    @classmethod
    def _names_alone(cls, labels: Any) -> Any:
        if not isinstance(labels, dict):
            return labels
        described = [name for name, text in labels.items() if text not in (None, "")]
        if described:
            raise ValueError(
                f"no prompt shows descriptions of labels ({described[0]!r} has one): say what the labels mean in "
                "task.question, or list their names alone"
            )
        return list(labels)

    @field_validator("labels")
    @classmethod
    def _form_a_set(cls, labels: list[str] | None) -> list[str] | None:
        try:
            return labels if labels is None else list(LabelSet(tuple(labels)).names)
        except LabelError as error:
            raise ValueError(f"{error.what.rstrip('.')}: {error.fix}") from None

    @model_validator(mode="after")
    def _separable(self) -> TaskConfig:
        if self.type == "multi_label":
            try:
                Separator(self.label_separator).check(self.labels or ())
            except LabelError as error:
                raise ValueError(f"{error.what} Fix: {error.fix}") from None
        return self


class DataConfig(Section):
    """Where the labelled texts come from."""

    source: str = "builtin:emotions"
    """A CSV, TSV, JSONL or Parquet file, a folder with train/validation/test files, `hub:owner/name[:config]`,
    `builtin:emotions` or `builtin:refunds`. Relative paths are relative to the current folder."""
    validation: str | None = None
    """A separate file with the validation split. It replaces a validation split that the source has."""
    test: str | None = None
    """A separate file with the test split. It replaces a test split that the source has."""
    text_column: str | None = None
    """The column with the text; default: recognised by name and content."""
    label_column: str | None = None
    """The column with the label; default: recognised by name and content."""
    id_column: str | None = None
    """The column with a unique row id; default: `id` if there is one, else a hash of the text."""
    reasoning_column: Annotated[str | None, Later()] = None
    """A column with reasonings of your own. Train rows that have one keep it, whatever filters and verifier say; the
    reasoner writes those of the rows where the cell is empty. Validation and test rows need none."""
    split_seed: Annotated[int | None, Later()] = Field(None, ge=0, lt=2**32)
    """Seed with which validation and test rows are cut and drawn; default: `seed`. Runs with other seeds then have
    the same test rows, so that they can be compared. Samples of the train rows are drawn with `seed`."""
    validation_fraction: float = Field(0.1, gt=0, lt=0.5)
    """Share of the train rows that becomes the validation split if none is given (stratified)."""
    test_fraction: float = Field(0.2, gt=0, lt=0.9)
    """Share of the rows that becomes the test split if none is given (stratified)."""
    train_rows_per_label: int | None = Field(None, ge=1)
    """Use at most this many train rows of each label. `multi_label`: a row counts for the rarest of its labels. Rows
    with a reasoning of your own (`reasoning_column`) are drawn first."""
    train_rows: int | None = Field(None, ge=2)
    """Use only this many train rows (stratified by label; `multi_label`: by the rarest label of a row). Of each
    label, rows with a reasoning of your own (`reasoning_column`) are drawn first."""
    validation_rows: Answers[int | None] = Field(None, ge=1)
    """Use only this many validation rows (stratified by label)."""
    test_rows: Answers[int | None] = Field(None, ge=1)
    """Use only this many test rows (stratified by label)."""
    bad_rows: Literal["error", "drop"] = "error"
    """What to do with rows that have no text or no label: stop, or leave them out and report them."""
    max_text_tokens: int | None = Field(None, ge=8)
    """Trim longer texts to this many tokens; trimmed texts are counted and reported. Default: a text that does not
    fit is an error. Reasoner and verifier read trimmed texts, too, each by its own tokenizer. An endpoint has no
    tokenizer here and gets the whole text."""

    def seed_of_splits(self, seed: int) -> int:
        """Return the seed with which validation and test rows are drawn in a run with this seed."""
        return seed if self.split_seed is None else self.split_seed
