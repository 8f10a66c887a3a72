"""Write tables to CSV that is safe for spreadsheets, JSON lines or Parquet, row by row; a file is whole or absent."""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import IO, Any

from whylabel.data.cells import escaped
from whylabel.data.encoding import text_lines
from whylabel.data.parquet import Schema, arrow_schema, column_types
from whylabel.errors import DataError, UsageError
from whylabel.host.atomic import whole_file
from whylabel.host.terminal import json_text
from whylabel.text.spreadsheet import harmless, restored
from whylabel.text.words import is_broken

Row = Mapping[str, Any]
"""Cells by column; a missing cell is empty."""
Write = Callable[[Row], None]

_ROWS_AT_ONCE = 8192
_PLAIN = (str, int, float, bool, type(None))


def table_file(path: Path, schema: Schema) -> AbstractContextManager[Write]:
    """Open a file to write rows to; its suffix, one that `require_format` allows, decides the format.

    It replaces `path` when the block ends without an error.
    """
    return _WRITERS[path.suffix.lower()](path, schema)


def require_format(path: Path, what: str) -> None:
    """Raise `UsageError` if `table_file` does not know the suffix; `what` names the content (`Predictions`)."""
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(
            f"{what} cannot be written as {path.suffix or 'a file without suffix'!r}.",
            where=str(path),
            fix=f"name a file that ends in {', '.join(_WRITERS)}",
        )


def written_columns(path: Path) -> list[str]:
    """Return the columns in the head of a file that `table_file` may have written; none if it cannot be read."""
    heads = {".csv": _head_of_csv, ".jsonl": _head_of_jsonl, ".parquet": column_types}
    try:
        return list(heads[path.suffix.lower()](path))
    except (KeyError, DataError, OSError, ValueError, StopIteration, csv.Error):
        return []


def _head_of_csv(path: Path) -> Iterable[str]:
    return map(restored, next(csv.reader(text_lines(path, ""))))


def _head_of_jsonl(path: Path) -> Iterable[str]:
    record = json.loads(next(text_lines(path, "\n")))
    return record if isinstance(record, dict) else ()


@contextmanager
def parquet_file(path: Path, schema: Schema) -> Iterator[Write]:
    """Yield a function that writes rows in the types of the schema."""
    import pyarrow
    import pyarrow.parquet

    typed = arrow_schema(schema)
    waiting: list[Row] = []
    with (
        whole_file(path) as aside,
        pyarrow.parquet.ParquetWriter(aside, typed, write_page_checksum=True) as file,
    ):

        def flush() -> None:
            columns = [arrow_column([row.get(field.name) for row in waiting], field.type) for field in typed]
            file.write_table(pyarrow.Table.from_arrays(columns, schema=typed))
            waiting.clear()

        def write(row: Row) -> None:
            waiting.append(row)
            if len(waiting) == _ROWS_AT_ONCE:
                flush()

        yield write
        if waiting:
            flush()


def arrow_column(cells: list[Any], kind: Any) -> Any:
    """Return cells as a column of a pyarrow type; a text column accepts everything that JSON can express.

    Half surrogate pairs are escaped. Raises an `ArrowException`, or Python's error for a value that does not fit, for
    cells of another type.
    """
    import pyarrow

    try:
        return pyarrow.array(cells, kind)
    except UnicodeEncodeError:
        pass
    except (pyarrow.ArrowException, TypeError):
        if not pyarrow.types.is_string(kind):
            raise
    if pyarrow.types.is_string(kind):
        cells = [cell if cell is None or isinstance(cell, str) else as_text(cell) for cell in cells]
    return pyarrow.array([_encodable(cell) for cell in cells], kind)


def json_line(row: Row, encoding: str | None = "utf-8") -> str:
    """Return a row as a line of JSON for an encoding. Types that JSON lacks become text, and NaN becomes null."""
    return json_text({name: _json_value(cell) for name, cell in row.items()}, encoding=encoding) + "\n"


def as_text(cell: Any) -> str:
    """Return a cell as text for a CSV file; characters that are not readable as text are escaped."""
    value = _json_value(cell)
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


@contextmanager
def _csv_file(path: Path, schema: Schema) -> Iterator[Write]:
    # Without a byte order mark, spreadsheets read the file in the encoding of their country.
    with whole_file(path) as aside, aside.open("w", encoding="utf-8-sig", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([harmless(name) for name in schema])

        def write(row: Row) -> None:
            # A number cannot be a formula, so it stays a number.
            cells = (row.get(name) for name in schema)
            table.writerow([cell if _is_number(cell) else harmless(as_text(cell)) for cell in cells])

        yield write


@contextmanager
def _jsonl_file(path: Path, _schema: Schema) -> Iterator[Write]:
    with whole_file(path) as aside, aside.open("w", encoding="utf-8") as stream:
        yield json_writer(stream)


def json_writer(stream: IO[str]) -> Write:
    """Return a function that writes rows to an open stream as lines of JSON, each at once."""

    def write(row: Row) -> None:
        stream.write(json_line(row, getattr(stream, "encoding", None)))
        stream.flush()

    return write


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool) and math.isfinite(cell)


def _json_value(cell: Any) -> Any:
    """Return a cell in the types of JSON."""
    if isinstance(cell, str):
        return escaped(cell) if is_broken(cell) else cell
    if isinstance(cell, float) and not math.isfinite(cell):
        return None if math.isnan(cell) else str(cell)
    if type(cell) in _PLAIN:
        return cell
    if isinstance(cell, Mapping):
        return {as_text(name): _json_value(value) for name, value in cell.items()}
    if isinstance(cell, (list, tuple, set)):
        return [_json_value(item) for item in cell]
    if isinstance(cell, bytes):
        return base64.b64encode(cell).decode("ascii")
    if isinstance(cell, (datetime, date, time)):
        return (
            None if cell != cell else cell.isoformat()
        )  # pandas' NaT is a datetime that is not equal to itself
    return _json_value(cell.item()) if getattr(cell, "ndim", None) == 0 else str(cell)


def _encodable(cell: Any) -> Any:
    """Return a cell whose texts can all be encoded as UTF-8."""
    if isinstance(cell, str):
        return cell.encode("utf-8", "backslashreplace").decode()
    if isinstance(cell, Mapping):
        return {name: _encodable(value) for name, value in cell.items()}
    return [_encodable(item) for item in cell] if isinstance(cell, (list, tuple)) else cell


_WRITERS: dict[str, Callable[[Path, Schema], AbstractContextManager[Write]]] = {
    ".csv": _csv_file,
    ".jsonl": _jsonl_file,
    ".parquet": parquet_file,
}
