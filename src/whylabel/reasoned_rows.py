"""The Parquet files of stage 2a: `train.parquet` with what was kept, `dropped.parquet` with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whylabel.atomic import whole_file
from whylabel.types import Dropped, ReasonedExample

_COLUMNS = ("id", "text", "label", "reasoning", "reasoner", "finished")


def write_reasoned(path: Path, rows: Sequence[ReasonedExample]) -> None:
    """Write the kept rows."""
    _write(path, [_plain(row) for row in rows], _COLUMNS)


def write_dropped(path: Path, rows: Sequence[Dropped]) -> None:
    """Write the dropped rows with a `reason` column."""
    _write(path, [{**_plain(item.row), "reason": item.reason} for item in rows], (*_COLUMNS, "reason"))


def read_reasoned(path: Path) -> tuple[ReasonedExample, ...]:
    """Read the kept rows."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path, columns=list(_COLUMNS))
    return tuple(ReasonedExample(**row) for row in table.to_pylist())


def _plain(row: ReasonedExample) -> dict[str, Any]:
    values = asdict(row)
    return {name: values[name] for name in _COLUMNS}


def _write(path: Path, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    import pyarrow
    import pyarrow.parquet

    types = {"finished": pyarrow.bool_()}
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in columns])
    with whole_file(path) as aside:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), aside)
