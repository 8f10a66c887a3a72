"""The Parquet files of stage 2a: `train.parquet` with what was kept, `dropped.parquet` with the reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

from whylabel.errors import RunFolderError
from whylabel.host.atomic import whole_file
from whylabel.types import Dropped, ReasonedExample

_COLUMNS = (
    *("id", "text", "label", "reasoning", "reasoner", "finished"),
    *("condition", "candidate", "candidates", "scores", "weight"),
)
_VALUES: Callable[[ReasonedExample], tuple[Any, ...]] = attrgetter(*_COLUMNS)
_ROWS_AT_ONCE = 8192


@contextmanager
def kept_rows(path: Path) -> Iterator[Callable[[ReasonedExample], None]]:
    """Yield a function that writes kept rows; the file appears whole when the block ends."""
    with _rows(path, _COLUMNS) as write:
        yield lambda row: write(_VALUES(row))


@contextmanager
def dropped_rows(path: Path) -> Iterator[Callable[[Dropped], None]]:
    """Yield a function that writes dropped rows, with a `reason` column."""
    with _rows(path, (*_COLUMNS, "reason")) as write:
        yield lambda item: write((*_VALUES(item.row), item.reason))


def read_reasoned(path: Path) -> tuple[ReasonedExample, ...]:
    """Read the kept rows. Raises `RunFolderError` if the file is damaged."""
    return tuple(iterate_kept(path))


def iterate_kept(path: Path) -> Iterator[ReasonedExample]:
    """Yield the kept rows, a few thousand in memory at a time."""
    return (_reasoned(row) for row in _iterate(path, _COLUMNS))


def iterate_dropped(path: Path) -> Iterator[Dropped]:
    """Yield the dropped rows with their reasons."""
    return (Dropped(_reasoned(row), row["reason"]) for row in _iterate(path, (*_COLUMNS, "reason")))


def _iterate(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(columns)):
                # A column that is not there is left out of the batch without a word.
                yield from batch.select(columns).to_pylist()
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        raise RunFolderError(
            f"The reasonings cannot be read: {str(error).splitlines()[0]}.",
            where=str(path),
            fix="remove the file, then: whylabel run RECIPE",
        ) from None


def _reasoned(row: Mapping[str, Any]) -> ReasonedExample:
    values = {name: row[name] for name in _COLUMNS}
    return ReasonedExample(
        **{**values, "candidates": tuple(row["candidates"]), "scores": tuple(row["scores"])}
    )


@contextmanager
def _rows(path: Path, columns: Sequence[str]) -> Iterator[Callable[[tuple[Any, ...]], None]]:
    import pyarrow
    import pyarrow.parquet

    text = pyarrow.string()
    types = {
        "finished": pyarrow.bool_(),
        "candidate": pyarrow.int64(),
        "weight": pyarrow.float64(),
        "candidates": pyarrow.list_(text),
        "scores": pyarrow.list_(pyarrow.float64()),
    }
    schema = pyarrow.schema([(name, types.get(name, text)) for name in columns])
    waiting: list[tuple[Any, ...]] = []
    with whole_file(path) as aside, pyarrow.parquet.ParquetWriter(aside, schema) as file:

        def flush() -> None:
            cells = [
                pyarrow.array(column, field.type)
                for column, field in zip(zip(*waiting, strict=True), schema, strict=True)
            ]
            file.write_table(pyarrow.Table.from_arrays(cells, schema=schema))
            waiting.clear()

        def write(row: tuple[Any, ...]) -> None:
            waiting.append(row)
            if len(waiting) == _ROWS_AT_ONCE:
                flush()

        yield write
        if waiting:
            flush()
