"""From what the recipe names to tables by split: files, folders, `hub:`, `builtin:`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from whylabel.data.builtin import builtin_names, read_builtin
from whylabel.data.hub import read_hub
from whylabel.data.readers import formats, is_table_file, read_table
from whylabel.data.table import Table
from whylabel.errors import DataError
from whylabel.recipe import DataConfig

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
# The hub's own layout cuts a split into train-00000-of-00002.parquet and so on.
_STEM = re.compile(r"(?P<split>[a-z]+)(?:-\d+-of-\d+(?:-\w+)?)?")


@dataclass(frozen=True, slots=True)
class Source:
    """Tables by split, train always among them, and what was inferred on the way."""

    tables: dict[str, Table]
    inferred: dict[str, str] = field(default_factory=dict)


def read_source(config: DataConfig) -> Source:
    """Read everything that `data.source`, `data.validation` and `data.test` name.

    Raises `DataError` if something is missing or unreadable, or names a split that is there already.
    """
    return with_extra_files(read_splits(config.source), config)


def with_extra_files(source: Source, config: DataConfig) -> Source:
    """Return the source with the tables of `data.validation` and `data.test` added."""
    tables = dict(source.tables)
    for split, path in (("validation", config.validation), ("test", config.test)):
        if path is None:
            continue
        if split in tables:
            raise DataError(
                f"The data has a {split} split already: {tables[split].name}.",
                where=f"data.{split}: {path}",
                fix=f"remove data.{split} from the recipe",
            )
        tables[split] = read_table(path)
    return Source(tables, source.inferred)


def read_splits(source: str) -> Source:
    """Read a file, a folder, `hub:owner/name[:config]` or `builtin:name`; a single file is train."""
    if source.startswith("builtin:"):
        return _named(read_builtin(source), source)
    if source.startswith("hub:"):
        return _named(read_hub(source), source)
    path = Path(source).expanduser()
    if path.is_dir():
        return _named(_read_folder(path), source)
    if not path.exists():
        raise _nothing_there(source)
    return Source({"train": read_table(path)})


def _named(tables: dict[str, Table], source: str) -> Source:
    """Return the tables under our split names; splits of other names are left out and said."""
    known: dict[str, Table] = {}
    others = []
    for name, table in tables.items():
        split = _SPLIT_NAMES.get(name.lower())
        if split is None or split in known:
            others.append(name)
        else:
            known[split] = table
    if "train" not in known and len(tables) == 1:
        # A data set with one split of any name is a file with rows.
        known, others = {"train": next(iter(tables.values()))}, []
    if "train" not in known:
        raise DataError(
            f"There is no train split. Found: {', '.join(tables) or 'nothing'}.",
            where=source,
            fix="name the file with the training rows",
        )
    for split, table in known.items():
        if not len(table):
            raise DataError(f"The {split} split has no rows.", where=table.name)
    inferred = {"splits_left_out": ", ".join(others)} if others else {}
    return Source(known, inferred)


def _read_folder(folder: Path) -> dict[str, Table]:
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        match = _STEM.fullmatch(path.stem.lower())
        if path.is_file() and is_table_file(path) and match and match["split"] in _SPLIT_NAMES:
            files.setdefault(_SPLIT_NAMES[match["split"]], []).append(path)
    if "train" not in files:
        present = [path.name for path in sorted(folder.iterdir())][:10]
        raise DataError(
            f"The folder has no train file. It holds: {', '.join(present) or 'nothing'}.",
            where=str(folder),
            fix=f"name its files train, validation and test ({formats()}), or name one file",
        )
    return {split: _joined(folder, split, paths) for split, paths in files.items()}


def _joined(folder: Path, split: str, paths: list[Path]) -> Table:
    if len(paths) == 1:
        return read_table(paths[0])
    if not all("-of-" in path.stem for path in paths):
        raise DataError(
            f"Several files are the {split} split: {', '.join(path.name for path in paths)}.",
            where=str(folder),
            fix="leave one of them in the folder, or name one file",
        )
    parts = [read_table(path) for path in paths]
    first = parts[0]
    for part in parts[1:]:
        if list(part.columns) != list(first.columns):
            raise DataError(f"Its columns differ from those of {first.name}.", where=part.name)
    columns = {name: [cell for part in parts for cell in part.columns[name]] for name in first.columns}
    places = range(1, len(columns[next(iter(columns))]) + 1)
    return Table(f"{folder} {split}", columns, places, class_names=first.class_names)


def _nothing_there(source: str) -> DataError:
    name = source.partition(":")[2] or source
    fix = "check the path"
    if name in builtin_names():
        fix = f"for the built-in data set write builtin:{name}"
    elif re.fullmatch(r"[\w-]+/[\w.-]+", source) and not Path(source).suffix:
        fix = f"for a data set of the hub write hub:{source}"
    return DataError("There is no such file or folder.", where=source, fix=fix)
