"""Choose the Parquet types of a table's columns: the types that they already have, else the types of their cells."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from whylabel.data.table import Table
from whylabel.data.writers import arrow_column

if TYPE_CHECKING:
    import pyarrow

Types = dict[str, "pyarrow.DataType"]


def arrow_types(
    pieces: Callable[[], Iterable[Table]], given: Mapping[str, pyarrow.DataType] | None = None
) -> Types:
    """Return for every column a type that holds all of its cells; text (with JSON) if no other type does.

    `pieces` yields the table from its start; `given` are the known types. Every cell is tried now, so that none fails
    when it is written hours later.
    """
    import pyarrow

    types: Types = dict(given) if given is not None else _inferred(pieces())
    types = {name: kind if _is_kept_by_parquet(kind) else pyarrow.string() for name, kind in types.items()}
    doubtful = {name for name, kind in types.items() if not pyarrow.types.is_string(kind)}
    if doubtful:
        for piece in pieces():
            for name in doubtful & set(piece.columns):
                if not _fits(piece.columns[name], types[name]):
                    types[name] = pyarrow.string()
    return types


def _inferred(pieces: Iterable[Table]) -> Types:
    import pyarrow

    types: Types = {}
    for piece in pieces:
        for name, cells in piece.columns.items():
            types[name] = _joined(types.get(name, pyarrow.null()), _type_of(cells))
    return types


def _type_of(cells: list[Any]) -> pyarrow.DataType:
    import pyarrow

    try:
        return pyarrow.infer_type(cells)
    except (pyarrow.ArrowException, UnicodeEncodeError, TypeError, ValueError, OverflowError):
        return pyarrow.string()


def _joined(one: pyarrow.DataType, other: pyarrow.DataType) -> pyarrow.DataType:
    """Return a type that holds the cells of both types."""
    import pyarrow

    schemas = [pyarrow.schema([("cell", kind)]) for kind in (one, other)]
    try:
        return pyarrow.unify_schemas(schemas, promote_options="permissive").field("cell").type
    except pyarrow.ArrowException:
        return pyarrow.string()


def _is_kept_by_parquet(kind: pyarrow.DataType) -> bool:
    import pyarrow
    import pyarrow.parquet

    if pyarrow.types.is_null(kind):
        return False
    schema = pyarrow.schema([("cell", kind)])
    try:
        pyarrow.parquet.write_table(schema.empty_table(), io.BytesIO())
    except (pyarrow.ArrowException, OSError):
        return False
    return True


def _fits(cells: list[Any], kind: pyarrow.DataType) -> bool:
    import pyarrow

    try:
        arrow_column(cells, kind)
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
        return False
    return True
