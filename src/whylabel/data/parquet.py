"""Read Parquet files: those of users as tables, those that whylabel wrote as typed rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from whylabel.data.cells import as_written
from whylabel.data.table import PIECE_ROWS, Table, column_names
from whylabel.errors import DataError, RunFolderError
from whylabel.host.runtime import first_line

if TYPE_CHECKING:
    import pyarrow

Kind = Literal["text", "whole", "number", "truth", "texts", "numbers"]
Schema = Mapping[str, Any]
"""The columns of a table in order, each with its `Kind` or a type of pyarrow."""

_BUFFER_BYTES = 1 << 20
# What pyarrow raises for damaged files; the last two if text or figures inside a page are damaged.
_DAMAGE = (OSError, KeyError, ValueError, OverflowError)


def arrow_schema(schema: Schema) -> pyarrow.Schema:
    """Return the schema for pyarrow; every column may have empty cells."""
    import pyarrow

    kinds = {
        "text": pyarrow.string(),
        "whole": pyarrow.int64(),
        "number": pyarrow.float64(),
        "truth": pyarrow.bool_(),
        "texts": pyarrow.list_(pyarrow.string()),
        "numbers": pyarrow.list_(pyarrow.float64()),
    }
    return pyarrow.schema(
        [(name, kinds[kind] if isinstance(kind, str) else kind) for name, kind in schema.items()]
    )


def column_types(path: Path) -> dict[str, pyarrow.DataType]:
    """Return the type of every column. Raises `DataError` as `read_parquet` does."""
    with _table_file(path) as file:
        schema = file.schema_arrow
        return dict(zip(column_names(schema.names, str(path)), schema.types, strict=True))


def read_parquet(path: Path, columns: Collection[str] | None) -> Iterator[Table]:
    """Yield a table piece by piece. Raises `DataError` if the file is not readable as Parquet."""
    with _table_file(path) as file:
        given = file.schema_arrow.names
        names = dict(zip(given, column_names(given, str(path)), strict=True))
        wanted = [raw for raw, name in names.items() if columns is None or name in columns]
        class_names = _class_names(file.schema_arrow.metadata)
        start = 1
        for batch in _batches(file, wanted):
            content = {names[raw]: _cells(batch.column(raw)) for raw in wanted}
            places = range(start, start + batch.num_rows)
            yield Table(str(path), content, places, class_names=class_names)
            start += batch.num_rows


def read_rows(
    path: Path,
    schema: Schema,
    *,
    what: str,
    fix: str,
    optional: Collection[str] = (),
    may_lack: Collection[str] = (),
    at: Sequence[int] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run's file with the columns of the schema; a few thousand are in memory at a time.

    Other columns are ignored; only `optional` ones may have empty cells, and only those in `may_lack` may be absent:
    they are read as empty. `at`: only the rows with these numbers, which count from 0 and ascend; parts of the file
    without any of them are not read. Raises `RunFolderError` if the file is
    missing, damaged, or does not have these columns; `what` names its content (`The reasonings`).
    """
    tables = row_tables(path, schema, what=what, fix=fix, optional=optional, may_lack=may_lack, at=at)
    for table in tables:
        yield from table.to_pylist()


def row_tables(
    path: Path,
    schema: Schema,
    *,
    what: str,
    fix: str,
    optional: Collection[str] = (),
    may_lack: Collection[str] = (),
    at: Sequence[int] | None = None,
) -> Iterator[pyarrow.Table]:
    """Yield the same rows as tables of a few thousand."""
    import pyarrow

    try:
        with _open(path) as file:
            missing = [name for name in schema if name not in file.schema_arrow.names]
            absent = [name for name in missing if name not in may_lack]
            if absent:
                raise KeyError(f"there is no column {absent[0]!r}")
            present = {name: kind for name, kind in schema.items() if name not in missing}
            expected, absent_types = arrow_schema(present), arrow_schema(schema)
            names = list(present)
            for batch in _batches(file, names) if at is None else _batches_at(file, names, at):
                table = pyarrow.Table.from_batches([batch]).select(names).cast(expected)
                _require_cells(table, optional)
                for name in missing:
                    empty = pyarrow.nulls(len(table), absent_types.field(name).type)
                    table = table.append_column(name, empty)
                yield table
    except (*_DAMAGE, pyarrow.ArrowException) as error:
        problem = str(error.args[0]) if isinstance(error, KeyError) else first_line(error)
        raise RunFolderError(
            f"{what} cannot be read: {problem.rstrip('.')}.", where=str(path), fix=fix
        ) from None


def _require_cells(table: pyarrow.Table, optional: Collection[str]) -> None:
    """Raise `ValueError` for an empty cell, or one with an empty item, in a column that is not optional."""
    import pyarrow.compute
    import pyarrow.types

    for name in table.column_names:
        column = table.column(name)
        empty = column.null_count
        if pyarrow.types.is_list(column.type):
            empty += pyarrow.compute.list_flatten(column).null_count
        if empty and name not in optional:
            raise ValueError(f"column {name!r} has empty cells")


def _open(path: Path) -> Any:
    from pyarrow import parquet

    # With a buffer a column is read in parts, without one a whole row group is read at once.
    return parquet.ParquetFile(path, page_checksum_verification=True, buffer_size=_BUFFER_BYTES)


def _batches(file: Any, columns: list[str]) -> Iterator[pyarrow.RecordBatch]:
    """Yield all rows of the columns. Raises `OSError` if there are fewer than the file says: damage may hide rows."""
    rows = 0
    for batch in file.iter_batches(PIECE_ROWS, columns=columns):
        rows += batch.num_rows
        yield batch
    # Without columns, no rows are yielded.
    if columns and rows != file.metadata.num_rows:
        raise OSError(f"it has {rows} rows of {file.metadata.num_rows}")


def _batches_at(file: Any, columns: list[str], at: Sequence[int]) -> Iterator[pyarrow.RecordBatch]:
    """Yield the rows with these numbers, which ascend; only the row groups in which they stand are read."""
    import numpy
    import pyarrow

    numbers, start = numpy.asarray(at, dtype=numpy.int64), 0
    for group in range(file.metadata.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        if ((numbers >= start) & (numbers < end)).any():
            for batch in file.iter_batches(PIECE_ROWS, row_groups=[group], columns=columns):
                inside = numbers[(numbers >= start) & (numbers < start + batch.num_rows)] - start
                if len(inside):
                    yield batch.take(pyarrow.array(inside))
                start += batch.num_rows
        start = end


@contextmanager
def _table_file(path: Path) -> Iterator[Any]:
    """Yield a file that a user has named; errors in its content become `DataError`."""
    import pyarrow

    try:
        with _open(path) as file:
            yield file
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # a problem of the file system, not of the content
        problem = str(error).strip().split("\n")[0].rstrip(".")
        raise DataError(
            f"The file is not readable as Parquet: {problem}.",
            where=str(path),
            fix="write it again, or give it the suffix of its real format",
        ) from None


def _cells(column: Any) -> list[Any]:
    import pyarrow.types

    cells = column.to_pylist()
    return as_written(cells) if pyarrow.types.is_float32(column.type) else cells


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Return the class names that the `datasets` library leaves in the Parquet files it writes."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        # In a list of labels, the items have the names.
        items = {
            name: feature.get("feature", feature)
            for name, feature in features.items()
            if isinstance(feature, dict)
        }
        return {
            name: tuple(feature["names"])
            for name, feature in items.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}
