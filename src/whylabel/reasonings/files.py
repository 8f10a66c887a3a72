"""The Parquet files of stage 2a: `train.parquet` with what was kept, `dropped.parquet` with the reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

from whylabel.data.parquet import Kind, read_rows
from whylabel.data.writers import parquet_file
from whylabel.types import Dropped, Example, ReasonedExample

_KEPT: dict[str, Kind] = {
    "id": "text",
    "text": "text",
    "label": "text",
    "reasoning": "text",
    "reasoner": "text",
    "finished": "truth",
    "condition": "text",
    "candidate": "whole",
    "candidates": "texts",
    "scores": "numbers",
    "weight": "number",
}
_LATER = ("condition", "candidate", "candidates", "scores", "weight")
"""Columns that the first versions did not write: they had one reasoning a row, written with the label in hand."""
_DROPPED: dict[str, Kind] = {**_KEPT, "reason": "text"}
_VALUES: Callable[[ReasonedExample], tuple[Any, ...]] = attrgetter(*_KEPT)


@contextmanager
def kept_rows(path: Path) -> Iterator[Callable[[ReasonedExample], None]]:
    """Yield a function that writes kept rows; the file appears whole when the block ends."""
    with parquet_file(path, _KEPT) as write:
        yield lambda row: write(_record(row))


@contextmanager
def dropped_rows(path: Path) -> Iterator[Callable[[Dropped], None]]:
    """Yield a function that writes dropped rows, with a `reason` column."""
    with parquet_file(path, _DROPPED) as write:
        yield lambda item: write({**_record(item.row), "reason": item.reason})


def read_reasoned(path: Path) -> tuple[ReasonedExample, ...]:
    """Read the kept rows. Raises `RunFolderError` if the file is damaged."""
    return tuple(iterate_kept(path))


def iterate_kept(path: Path, at: Sequence[int] | None = None) -> Iterator[ReasonedExample]:
    """Yield the kept rows, a few thousand in memory at a time.

    `at`: only the rows with these numbers, which count from 0 and ascend.
    """
    return map(_reasoned, _rows(path, _KEPT, at))


def iterate_dropped(path: Path, at: Sequence[int] | None = None) -> Iterator[Dropped]:
    """Yield the dropped rows with their reasons."""
    return (Dropped(_reasoned(row), row["reason"]) for row in _rows(path, _DROPPED, at))


def iterate_examples(path: Path) -> Iterator[Example]:
    """Yield id, text and label of the rows of either file, in their order."""
    return (Example(**row) for row in _rows(path, {name: _KEPT[name] for name in ("id", "text", "label")}))


def _rows(
    path: Path, schema: Mapping[str, Kind], at: Sequence[int] | None = None
) -> Iterator[dict[str, Any]]:
    fix = "remove the file, then: whylabel run RECIPE"
    return read_rows(path, schema, what="The reasonings", fix=fix, may_lack=_LATER, at=at)


def _record(row: ReasonedExample) -> dict[str, Any]:
    return dict(zip(_KEPT, _VALUES(row), strict=True))


def _reasoned(row: Mapping[str, Any]) -> ReasonedExample:
    values = {name: row[name] for name in _KEPT if row[name] is not None}
    for name in ("candidates", "scores"):
        values[name] = tuple(values.get(name, ()))
    return ReasonedExample(**values)
