"""What is in a data set, and everything that is wrong with it, in one pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from whylabel.data.columns import Columns, recognise_columns
from whylabel.data.findings import (
    Finding,
    bad_rows,
    count_words,
    equal_texts,
    from_error,
    label_problems,
    long_texts,
)
from whylabel.data.rows import Rows, collect_rows
from whylabel.data.sources import Source, read_source
from whylabel.data.split import complete_splits
from whylabel.errors import DataError
from whylabel.labels import LabelSet
from whylabel.recipe import DataConfig, TaskConfig
from whylabel.types import Example

_QUANTILES = {"min": 0.0, "median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Inspection:
    """A data set as `load_dataset` would see it: rows_read = rows of all splits + rows_unusable.

    `rows` and `labels` count usable rows per split, after the cutting of missing splits and before
    `train_rows` and its like. `lengths` holds quantiles over all texts, by unit (`words`, `tokens`).
    """

    source: str
    columns: tuple[str, ...] = ()
    text_column: str = ""
    label_column: str = ""
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
    task: TaskConfig,
    seed: int,
    count_tokens: Callable[[str], int] | None = None,
) -> Inspection:
    """Return what is in the data and everything that is wrong with it; never raises for bad data."""
    try:
        source = read_source(config)
    except DataError as error:
        return Inspection(config.source, findings=(from_error(error, "unreadable"),))
    names = tuple(source.tables["train"].columns)
    read = sum(map(len, source.tables.values()))
    try:
        columns = recognise_columns(source.tables["train"], config)
        rows = collect_rows(source.tables, columns, task)
    except DataError as error:
        return Inspection(config.source, names, rows_read=read, findings=(from_error(error, "columns"),))
    return _inspection(source, columns, rows, config, task, seed, count_tokens)


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
    splits, cut = complete_splits(usable, config, seed)
    examples = [example for part in splits.values() for example in part]
    findings = [
        *bad_rows(rows.rows, config),
        *_unusable_set(usable, task),
        *equal_texts(splits),
        *label_problems(splits),
        *long_texts(splits, config, count_tokens),
    ]
    lengths = {}
    if examples and count_tokens is not None:
        lengths["tokens"] = _quantiles([count_tokens(example.text) for example in examples])
    if examples:
        lengths["words"] = _quantiles([count_words(example.text) for example in examples])
    return Inspection(
        config.source,
        tuple(source.tables["train"].columns),
        columns.text,
        columns.label,
        {**source.inferred, **columns.inferred, **rows.inferred, **cut},
        len(rows.rows),
        len(rows.rows) - len(examples),
        {split: len(part) for split, part in splits.items()},
        {split: _label_counts(part) for split, part in splits.items()},
        lengths,
        tuple(findings),
    )


def _unusable_set(usable: Mapping[str, Sequence[Example]], task: TaskConfig) -> list[Finding]:
    """Return what `load_dataset` refuses about the rows as a whole."""
    if not usable["train"]:
        return [Finding("no_rows", "error", 1, "The train split has no usable row")]
    labels = (example.label for part in usable.values() for example in part)
    try:
        LabelSet.from_labels(labels, task.labels)
    except DataError as error:
        return [from_error(error, "label_set")]
    return []


def _label_counts(examples: Sequence[Example]) -> dict[str, int]:
    return dict(sorted(Counter(example.label for example in examples).items()))


def _quantiles(lengths: Sequence[int]) -> dict[str, int]:
    """Return nearest-rank quantiles."""
    ordered = sorted(lengths)
    return {name: ordered[max(math.ceil(share * len(ordered)) - 1, 0)] for name, share in _QUANTILES.items()}
