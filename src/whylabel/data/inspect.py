"""Finds what is in a data set and everything that is wrong with it, in one pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from whylabel.data.collect import collect_rows
from whylabel.data.columns import Columns, columns_of_splits, recognise_reasoning_column
from whylabel.data.examples import Examples
from whylabel.data.findings import (
    Finding,
    Splits,
    bad_rows,
    count_words,
    equal_texts,
    from_error,
    label_counts,
    label_problems,
    labels_alike,
    long_texts,
    reasonings_of_rows,
    rewritten_labels,
    rows_inside_texts,
    unlabelled_splits,
)
from whylabel.data.labelling import Labelling, labelling
from whylabel.data.list_cells import holds_lists, lists_of
from whylabel.data.rows import Rows
from whylabel.data.sources import Source, read_source
from whylabel.data.split import complete_splits
from whylabel.data.table import Table
from whylabel.errors import DataError
from whylabel.recipe import DataConfig, TaskConfig
from whylabel.text.labels import LabelSet
from whylabel.types import Dataset

_SEPARATORS = (",", ";", "|", "/")
_QUANTILES = {"min": 0.0, "median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Inspection:
    """A data set as `load_dataset` would see it: rows_read = rows of all splits + rows_unusable.

    `rows` and `labels` count usable rows per split, after the cutting of missing splits and before
    `train_rows` and its like; a row with several labels counts for each. `lengths` holds quantiles over all texts,
    by unit (`words`, `tokens`). `task` is what the labels were read for. `reasoning_column` is the one that is
    named, or that looks like reasonings.
    """

    source: str
    columns: tuple[str, ...] = ()
    text_column: str = ""
    label_column: str = ""
    reasoning_column: str | None = None
    task: TaskConfig = field(default_factory=TaskConfig)
    inferred: Mapping[str, str] = field(default_factory=dict)
    rows_read: int = 0
    rows_unusable: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    lengths: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What `load_dataset` would refuse."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def label_counts(self) -> dict[str, int]:
        """Return the rows of each label over all splits, labels in alphabetical order."""
        total: Counter[str] = Counter()
        for counts in self.labels.values():
            total.update(counts)
        return dict(sorted(total.items()))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values, with all row ids of all findings."""
        return {
            "source": self.source,
            "columns": list(self.columns),
            "text_column": self.text_column,
            "label_column": self.label_column,
            "reasoning_column": self.reasoning_column,
            "task_type": self.task.type,
            "inferred": dict(self.inferred),
            "rows_read": self.rows_read,
            "rows_unusable": self.rows_unusable,
            "rows": dict(self.rows),
            "labels": {split: dict(counts) for split, counts in self.labels.items()},
            "lengths": {unit: dict(values) for unit, values in self.lengths.items()},
            "findings": [finding.to_json() for finding in self.findings],
        }


def inspect_dataset(
    config: DataConfig,
    task: TaskConfig | None,
    seed: int,
    count_tokens: Callable[[str], int] | None = None,
) -> Inspection:
    """Return what is in the data and everything that is wrong with it; never raises for bad data.

    If `task` is None, a column of lists is read as several labels of each text.
    """
    try:
        source = read_source(config)
    except DataError as error:
        return Inspection(config.source, findings=(from_error(error, "unreadable"),))
    names = tuple(source.heads()["train"].columns)
    try:
        columns = columns_of_splits(source.heads(), config)
    except DataError as error:
        finding = from_error(error, "columns")
        return Inspection(config.source, names, rows_read=_count(source), findings=(finding,))
    if columns.reasoning is None:
        taken = (columns.text, columns.label, columns.id)
        looks_like_one = recognise_reasoning_column(source.heads()["train"], taken)
        columns = replace(columns, reasoning=looks_like_one)
    if task is None:
        task, recognised = _recognised_task(source.heads()["train"], columns.label)
        columns = replace(columns, inferred={**columns.inferred, **recognised})
    try:
        rows = collect_rows(source.streams, columns, task)
    except DataError as error:
        return Inspection(config.source, names, findings=(from_error(error, "unreadable"),))
    return _inspection(source, columns, rows, config, task, seed, count_tokens)


def inspect_rows(
    dataset: Dataset,
    source: str,
    config: DataConfig,
    task: TaskConfig,
    count_tokens: Callable[[str], int] | None = None,
) -> Inspection:
    """Return what is in rows that a program hands over, which have no columns, and what is wrong with them."""
    splits, kind = dataset.splits(), labelling(task)
    return Inspection(
        source,
        task=task,
        inferred=dataset.inferred,
        rows_read=sum(map(len, splits.values())),
        rows={split: len(part) for split, part in splits.items()},
        labels=_labels_of(splits, kind),
        lengths=_lengths(splits, count_tokens),
        findings=tuple(_findings_of_texts(splits, kind, config, count_tokens)),
    )


def _findings_of_texts(
    splits: Splits, kind: Labelling, config: DataConfig, count_tokens: Callable[[str], int] | None
) -> Iterator[Finding]:
    yield from equal_texts(splits)
    yield from label_problems(splits, kind)
    yield from labels_alike(splits, kind)
    yield from long_texts(splits, config, count_tokens)


def _labels_of(splits: Splits, kind: Labelling) -> dict[str, dict[str, int]]:
    return {split: dict(sorted(label_counts(part, kind).items())) for split, part in splits.items()}


def _lengths(splits: Splits, count_tokens: Callable[[str], int] | None) -> dict[str, dict[str, int]]:
    """Return quantiles of the lengths of all texts, by unit."""
    units = {"words": count_words} if count_tokens is None else {"tokens": count_tokens, "words": count_words}
    texts = [example.text for part in splits.values() for example in part]
    return {unit: _quantiles([*map(count, texts)]) for unit, count in units.items() if texts}


def _inspection(
    source: Source,
    columns: Columns,
    rows: Rows,
    config: DataConfig,
    task: TaskConfig,
    seed: int,
    count_tokens: Callable[[str], int] | None,
) -> Inspection:
    usable = rows.usable()
    numbers, cut = complete_splits(usable, rows.keys, config, config.seed_of_splits(seed))
    # Every text is needed several times, so all texts are kept in memory here.
    splits = {split: tuple(Examples(rows, part)) for split, part in numbers.items()}
    findings = [
        *bad_rows(rows, config),
        *unlabelled_splits(rows),
        *rewritten_labels(rows),
        *rows_inside_texts(rows, source.heads(), columns),
        *reasonings_of_rows(rows, numbers, columns, config),
        *_unusable_set(rows, task),
        *_findings_of_texts(splits, rows.labelling, config, count_tokens),
    ]
    used = sum(map(len, splits.values()))
    return Inspection(
        config.source,
        tuple(source.heads()["train"].columns),
        columns.text,
        columns.label,
        columns.reasoning,
        task,
        {**source.inferred, **columns.inferred, **rows.inferred, **cut},
        len(rows),
        len(rows) - used,
        {split: len(part) for split, part in splits.items()},
        _labels_of(splits, rows.labelling),
        _lengths(splits, count_tokens),
        tuple(findings),
    )


def _recognised_task(head: Table, label: str) -> tuple[TaskConfig, dict[str, str]]:
    """Return the task for a label column, and what was inferred: a column of lists means several labels."""
    if not holds_lists(head, label):
        return TaskConfig(), {}
    content = "".join(str(item) for items in lists_of(head, label) for item in items)
    separator = next((text for text in _SEPARATORS if text not in content), _SEPARATORS[0])
    task = TaskConfig(type="multi_label", label_separator=separator)
    return task, {"task_type": f"multi_label, since {label!r} holds lists"}


def _count(source: Source) -> int:
    """Return how many rows can be read."""
    count = 0
    try:
        for stream in source.streams.values():
            for piece in stream.pieces(None):
                count += len(piece)
    except DataError:
        pass  # the finding about the columns is reported instead
    return count


def _unusable_set(rows: Rows, task: TaskConfig) -> list[Finding]:
    """Return what `load_dataset` refuses about the rows as a whole."""
    usable = rows.usable()
    if not len(usable["train"]):
        return [Finding("no_rows", "error", 1, "The train split has no usable row")]
    labels = [label for numbers in usable.values() for label in rows.distinct_labels(numbers)]
    try:
        LabelSet.from_labels(labels, task.labels)
    except DataError as error:
        return [from_error(error, "label_set")]
    return []


def _quantiles(lengths: Sequence[int]) -> dict[str, int]:
    """Return nearest-rank quantiles."""
    ordered = sorted(lengths)
    return {name: ordered[max(math.ceil(share * len(ordered)) - 1, 0)] for name, share in _QUANTILES.items()}
