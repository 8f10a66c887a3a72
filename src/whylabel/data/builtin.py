"""The data sets that come with whylabel: `builtin:NAME` for every folder of `builtin/`."""

from __future__ import annotations

from importlib import resources

from whylabel.data.readers import read_table
from whylabel.data.split import SPLITS
from whylabel.data.table import Table
from whylabel.errors import DataError, unknown_name


def builtin_names() -> list[str]:
    """Return the names of the built-in data sets."""
    folder = resources.files("whylabel.data") / "builtin"
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def read_builtin(source: str) -> dict[str, Table]:
    """Return the splits of `builtin:NAME`. Raises `DataError` if there is no such data set."""
    name = source.removeprefix("builtin:")
    known = builtin_names()
    if name not in known:
        raise DataError(unknown_name("built-in data set", name, known), where=source)
    tables = {}
    for split in SPLITS:
        entry = resources.files("whylabel.data") / "builtin" / name / f"{split}.jsonl"
        if entry.is_file():
            with resources.as_file(entry) as path:
                table = read_table(path)
            tables[split] = Table(f"{source} {split}", table.columns, table.places, "line")
    return tables
