"""Table files: CSV, TSV, JSON lines and Parquet, each refused with a clear error where it is broken."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whylabel.data.encoding import decoded_text, require_file
from whylabel.data.table import Table, column_names
from whylabel.errors import DataError

_DELIMITERS = ",;\t|"
_QUOTES = (
    'put a field that holds the delimiter, a quote or a line break in "double quotes", '
    'and write each quote inside it twice ("")'
)


def read_table(path: str | Path) -> Table:
    """Read one file; its suffix decides the format.

    Raises `DataError` naming the file, and the line where there is one, if it cannot be read in full.
    """
    path = Path(path).expanduser()
    reader = _reader(path)
    try:
        table = reader(path)
    except OSError as error:
        problem = error.strerror or str(error)
        raise DataError(
            f"The file cannot be read: {problem}.", where=str(path), fix="check the path and its rights"
        ) from None
    if not len(table):
        raise DataError(
            "The file has no rows below its header.", where=str(path), fix="add labelled rows to it"
        )
    return table


def read_lines(path: str | Path) -> list[str]:
    """Return the lines of a plain text file without their ends. Raises `DataError` as `read_table` does."""
    path = Path(path).expanduser()
    require_file(path)
    lines = decoded_text(path).split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def is_table_file(path: Path) -> bool:
    """Return whether the suffix is one that `read_table` knows."""
    return path.suffix.lower() in _READERS


def formats() -> str:
    """Return the known suffixes for an error message."""
    return ", ".join(sorted(_READERS))


def _reader(path: Path) -> Callable[[Path], Table]:
    require_file(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is not None:
        return reader
    fixes = {
        ".gz": "unpack it first: gunzip FILE",
        ".zip": "unpack it first: unzip FILE",
        ".xlsx": "save the sheet as CSV (UTF-8)",
        ".xls": "save the sheet as CSV (UTF-8)",
    }
    raise DataError(
        f"Files of type {path.suffix or 'without suffix'!r} are not known. Known: {formats()}.",
        where=str(path),
        fix=fixes.get(path.suffix.lower(), "convert the file, or rename it to what it holds"),
    )


def _read_csv(path: Path) -> Table:
    text = decoded_text(path)
    return _delimited(path, text, _delimiter(text))


def _read_tsv(path: Path) -> Table:
    text = decoded_text(path)
    try:
        return _delimited(path, text, "\t")
    except DataError:
        # Many published TSV files know no quoting at all: a text may then begin with a lone quote.
        try:
            return _delimited(path, text, "\t", csv.QUOTE_NONE)
        except DataError:
            pass
        raise


def _delimiter(text: str) -> str:
    header = io.StringIO(text, newline="")

    def fields(delimiter: str) -> int:
        header.seek(0)
        return len(next(csv.reader(header, delimiter=delimiter), []))

    with _long_fields():
        return max(_DELIMITERS, key=fields)


def _delimited(path: Path, text: str, delimiter: str, quoting: Any = csv.QUOTE_MINIMAL) -> Table:
    with _long_fields():
        records = _records(path, text, delimiter, quoting)
        _, header = next(records, (0, []))
        names = column_names(header, str(path))
        rows: list[list[str]] = []
        places: list[int] = []
        for line, fields in records:
            if len(fields) == len(names):
                rows.append(fields)
            elif not fields and len(names) == 1:
                rows.append([""])
            elif not fields:
                continue
            else:
                raise DataError(
                    f"The header has {len(names)} fields, line {line} has {len(fields)} "
                    f"(delimiter {delimiter!r}).",
                    where=f"{path}, line {line}",
                    fix=_QUOTES,
                )
            places.append(line)
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    return Table(str(path), columns, places, "line")


def _records(path: Path, text: str, delimiter: str, quoting: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which the record begins, fields) from the first line that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    begun = False
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"The record that begins on line {line} is not valid: {error}.",
                where=f"{path}, line {line}",
                fix=_QUOTES,
            ) from None
        begun = begun or bool(fields)
        if begun:
            yield line, fields


@contextmanager
def _long_fields() -> Iterator[None]:
    # The csv module's limit of 128 KiB a field is one for the whole process: lift it, then put it back.
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_jsonl(path: Path) -> Table:
    return _json_lines(path, decoded_text(path))


def _json_lines(path: Path, text: str) -> Table:
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    # Not splitlines(): that would cut a text at U+2028, which JSON lets stand unescaped.
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"Line {line} is not valid JSON: {error}.",
                where=f"{path}, line {line}",
                fix="write one JSON object a line",
            ) from None
        rows.append(_json_object(value, f"{path}, line {line}"))
        places.append(line)
    return Table(str(path), _columns(rows), places, "line")


def _read_json(path: Path) -> Table:
    text = decoded_text(path)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not text.lstrip().startswith("["):
            # Not one JSON value: then JSON lines under another name, which report their own bad line.
            return _json_lines(path, text)
        line = getattr(error, "lineno", 1)
        raise DataError(
            f"The file is not valid JSON: {error}.", where=f"{path}, line {line}", fix="write it again"
        ) from None
    if not isinstance(values, list):
        raise DataError(
            f"The file holds one JSON {type(values).__name__}, not a list of rows.",
            where=str(path),
            fix="write a list of objects, or one object a line (.jsonl)",
        )
    rows = [_json_object(value, f"{path}, row {row}") for row, value in enumerate(values, start=1)]
    return Table(str(path), _columns(rows), range(1, len(rows) + 1))


def _json_object(value: object, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise DataError(
        f"A row is a JSON object with a text and a label, got {json.dumps(value)[:60]}.",
        where=where,
        fix='write {"text": "...", "label": "..."}',
    )


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _read_parquet(path: Path) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            content = file.read()
        names = column_names(content.schema.names, str(path))
        columns = {name: content.column(at).to_pylist() for at, name in enumerate(names)}
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the file system's own trouble, not the content's
        problem = str(error).strip().split("\n")[0].rstrip(".")
        raise DataError(
            f"The file is not readable as Parquet: {problem}.",
            where=str(path),
            fix="write it again, or rename it to what it holds",
        ) from None
    return Table(
        str(path),
        columns,
        range(1, content.num_rows + 1),
        class_names=_class_names(content.schema.metadata),
    )


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Return the class names that the `datasets` library leaves in the Parquet files it writes."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: tuple(feature["names"])
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
