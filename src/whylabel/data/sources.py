"""Opens what the recipe names as streams of rows by split: files, folders, `hub:`, `builtin:`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from whylabel.data.builtin import builtin_names, read_builtin
from whylabel.data.hub import read_hub
from whylabel.data.readers import formats, is_table_file, stream_table
from whylabel.data.table import Stream, Table, stream, stream_of
from whylabel.errors import DataError
from whylabel.host.paths import expanded
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
_STEM = re.compile(r"(?P<split>[a-z]+)(?:-(?P<shard>\d+)-of-(?P<shards>\d+)(?:-\w+)?)?")
_SHOWN_SHARDS = 5


@dataclass(frozen=True, slots=True)
class Source:
    """Streams by split, which always include train, and what was inferred on the way."""

    streams: dict[str, Stream]
    inferred: dict[str, str] = field(default_factory=dict)

    def heads(self) -> dict[str, Table]:
        """Return the first rows of every split."""
        return {split: stream.head for split, stream in self.streams.items()}


def read_source(config: DataConfig) -> Source:
    """Open everything that `data.source`, `data.validation` and `data.test` name.

    Raises `DataError` if something is missing or unreadable in its first rows.
    """
    return with_extra_files(read_splits(config.source, _extra_files(config)), config)


def with_extra_files(source: Source, config: DataConfig) -> Source:
    """Return the source with the streams of `data.validation` and `data.test`, in place of its own if it has them."""
    files = _extra_files(config)
    streams = {split: found for split, found in source.streams.items() if split not in files}
    return Source(streams | {split: stream_table(path) for split, path in files.items()}, source.inferred)


def _extra_files(config: DataConfig) -> dict[str, str]:
    named = {"validation": config.validation, "test": config.test}
    return {split: path for split, path in named.items() if path is not None}


def read_splits(source: str, replaced: Mapping[str, str] | None = None) -> Source:
    """Open a file, a folder, `hub:owner/name[:config]` or `builtin:name`; a single file is train.

    `replaced` has the files of splits that are read from elsewhere: what the source has of them is not opened.
    """
    replaced = replaced or {}
    if source.startswith("builtin:"):
        tables = read_builtin(source)
        return _named({split: stream_of(table) for split, table in tables.items()}, source, replaced)
    if source.startswith("hub:"):
        return _named(read_hub(source), source, replaced)
    path = expanded(source)
    if path.is_dir():
        streams, others, own = _read_folder(path, replaced)
        return _with_replaced(_named(streams, source, {}, others), own, replaced)
    if not path.exists():
        raise _unknown_source(source)
    return Source({"train": stream_table(path)})


def _with_replaced(source: Source, own: Collection[str], replaced: Mapping[str, str]) -> Source:
    """Note which of its own splits a source does not give."""
    noted = ", ".join(f"{split} by data.{split}: {path}" for split, path in replaced.items() if split in own)
    return Source(source.streams, {**source.inferred, "splits_replaced": noted}) if noted else source


def _named(
    streams: dict[str, Stream], source: str, replaced: Mapping[str, str], left_out: Sequence[str] = ()
) -> Source:
    """Return the streams under our split names, and note the names that are left out or replaced."""
    known: dict[str, Stream] = {}
    others = list(left_out)
    for name, found in streams.items():
        split = _SPLIT_NAMES.get(name.lower())
        if split is None or split in known:
            others.append(name)
        else:
            known[split] = found
    if "train" not in known and len(streams) == 1:
        # A data set with one split of any name is a file with rows.
        known, others = {"train": next(iter(streams.values()))}, []
    if "train" not in known:
        raise DataError(
            f"There is no train split. Found: {', '.join(streams) or 'nothing'}.",
            where=source,
            fix="name the file with the training rows",
        )
    own = set(known)
    known = {split: found for split, found in known.items() if split not in replaced}
    for split, found in known.items():
        if not len(found.head):
            fix = "name another data set" if split == "train" else f"name a file with rows: data.{split}"
            raise DataError(f"The {split} split has no rows.", where=found.head.name, fix=fix)
    inferred = {"splits_left_out": ", ".join(others)} if others else {}
    return _with_replaced(Source(known, inferred), own, replaced)


def _read_folder(
    folder: Path, replaced: Collection[str]
) -> tuple[dict[str, Stream], list[str], Collection[str]]:
    """Return the streams by split, the names of table files that belong to no split, and all splits in the folder."""
    files: dict[str, list[Path]] = {}
    others = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or not is_table_file(path):
            continue
        match = _STEM.fullmatch(path.stem.lower())
        if match and match["split"] in _SPLIT_NAMES:
            files.setdefault(_SPLIT_NAMES[match["split"]], []).append(path)
        else:
            others.append(path.name)
    if "train" not in files:
        present = [path.name for path in sorted(folder.iterdir())][:10]
        raise DataError(
            f"The folder has no train file. It holds: {', '.join(present) or 'nothing'}.",
            where=str(folder),
            fix=f"name its files train, validation and test ({formats()}), or name one file",
        )
    opened = {split: _joined(folder, split, paths) for split, paths in files.items() if split not in replaced}
    return opened, others, list(files)


def _joined(folder: Path, split: str, paths: list[Path]) -> Stream:
    _require_every_shard(folder, split, paths)
    if len(paths) == 1:
        return stream_table(paths[0])
    shards = [stream_table(path) for path in paths]
    first = shards[0].head
    for shard in shards[1:]:
        if list(shard.head.columns) != list(first.columns):
            raise DataError(
                f"Its columns differ from those of {first.name}.",
                where=shard.head.name,
                fix="fetch the parts again, or name one file",
            )

    def pieces(columns: Collection[str] | None) -> Iterator[Table]:
        start = 1
        for shard in shards:
            for piece in shard.pieces(columns):
                places = range(start, start + len(piece))
                yield Table(f"{folder} {split}", piece.columns, places, class_names=first.class_names)
                start += len(piece)

    return stream(pieces)


def _require_every_shard(folder: Path, split: str, paths: list[Path]) -> None:
    """Raise `DataError` unless there is one file, or every shard of one split exactly once."""
    found = [_STEM.fullmatch(path.stem.lower()) for path in paths]
    numbers = {int(match["shard"]) for match in found if match and match["shard"]}
    counts = {match["shards"] for match in found if match}
    if len(paths) > 1 and (len(counts) > 1 or len(numbers) < len(paths)):
        raise DataError(
            f"Several files are the {split} split: {', '.join(path.name for path in paths)}.",
            where=str(folder),
            fix="leave one of them, or the shards of one set, in the folder, or name one file",
        )
    if not numbers:
        return
    (shards,) = counts
    # Most data sets count shards from 0, some from 1.
    first = 1 if int(shards) in numbers else 0
    lacking = int(shards) - len(numbers)
    if lacking > 0:
        every = range(first, first + int(shards))
        missing = islice((number for number in every if number not in numbers), _SHOWN_SHARDS)
        names = [f"{split}-{number:0{len(shards)}}-of-{shards}" for number in missing]
        more = f" and {lacking - len(names)} more" if lacking > len(names) else ""
        raise DataError(
            f"Files of the {split} split are missing: {', '.join(names)}{more}.",
            where=str(folder),
            fix="fetch them as well, or name one file to use it alone",
        )


def _unknown_source(source: str) -> DataError:
    name = source.partition(":")[2] or source
    fix = "check the path"
    if name in builtin_names():
        fix = f"for the built-in data set write builtin:{name}"
    elif re.fullmatch(r"[\w-]+/[\w.-]+", source) and not Path(source).suffix:
        fix = f"for a data set of the hub write hub:{source}"
    return DataError("There is no such file or folder.", where=source, fix=fix)
