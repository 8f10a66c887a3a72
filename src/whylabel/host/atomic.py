"""Write files and folders that appear whole or not at all: write aside, fsync, rename. Also read and check JSON."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from whylabel.errors import RunFolderError
from whylabel.host.terminal import json_text, whole_characters

_Kind = TypeVar("_Kind")
_ASIDE = ".partial"
_ASIDE_NAME = re.compile(rf"\..+{re.escape(_ASIDE)}-\d+(\.\w+)?")
_AGAIN = "remove the file and run its stage again"
_WINDOWS = sys.platform == "win32"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to. When the block ends without an error, the new file replaces `path`.

    The new file has the same suffix, for writers that choose the format by it. Raises `RunFolderError` if there is a
    folder in its place.
    """
    if path.is_dir():
        raise RunFolderError(f"A folder is in the place of {path.name}.", where=str(path), fix="move it away")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}{_ASIDE}-{os.getpid()}{path.suffix}")
    try:
        yield aside
        _sync(aside)
        aside.replace(path)
        _sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def is_aside(path: Path) -> bool:
    """Return whether `whole_file` gives its files such names until they are whole."""
    return _ASIDE_NAME.fullmatch(path.name) is not None


def remove_asides(path: Path) -> None:
    """Remove files that killed processes left in `whole_file`. Only the process that may write `path` calls this."""
    for aside in path.parent.glob(f".{glob.escape(path.stem)}{_ASIDE}-*{glob.escape(path.suffix)}"):
        if aside.name.removesuffix(path.suffix).rpartition("-")[2].isdecimal():
            aside.unlink(missing_ok=True)


def remove_asides_in(folder: Path) -> None:
    """Remove all files that killed processes left in `whole_file`, in this folder and down to two folders below.

    Only the process that alone may write there calls this.
    """
    for pattern in (f".*{_ASIDE}-*", f"*/.*{_ASIDE}-*", f"*/*/.*{_ASIDE}-*"):
        for path in folder.glob(pattern):
            if is_aside(path) and path.is_file():
                path.unlink(missing_ok=True)


def folder_asides(path: Path) -> tuple[Path, Path]:
    """Return the folders beside `path` that `whole_folder` writes to and moves the old one to: it removes both."""
    return path.with_name(f".{path.name}{_ASIDE}"), path.with_name(f".{path.name}.old")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`. When the block ends without an error, the new folder replaces `path`.

    A folder that a killed process left is removed by the next one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside, old = folder_asides(path)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        for file in sorted(aside.rglob("*")):
            if file.is_file():
                _sync(file)
        _sync(aside)
        # A folder cannot be renamed over one that is not empty. Between the renames it is absent, never incomplete.
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        aside.rename(path)
        _sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all. Halves of surrogate pairs, which UTF-8 cannot hold, become U+FFFD."""
    with whole_file(path) as aside:
        aside.write_text(whole_characters(text), encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON (UTF-8, keys sorted, no NaN) whole or not at all; `read_json` returns the same."""
    write_text(path, json_text(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, kind: type[_Kind], *, fix: str = _AGAIN) -> _Kind:
    """Return the content of a JSON file that `write_json` has written.

    Raises `RunFolderError`, with the file and `fix`, if the file is absent, incomplete, not UTF-8 or holds NaN, or if
    its outermost value is not a `kind`.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise RunFolderError(f"{path.name} is missing.", where=str(path), fix=fix) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path.name} cannot be read: {error}.", where=str(path), fix=fix) from None
    with as_written(path, fix=fix):
        if not isinstance(value, kind):
            raise TypeError(f"it holds a {type(value).__name__}, not a {kind.__name__}")
    return value


def check_kinds(path: Path, values: dict[str, Any], kinds: Mapping[str, type], *, fix: str = _AGAIN) -> None:
    """Raise `RunFolderError` if a value from a file is not of the kind given for its key; None is allowed."""
    for key, kind in kinds.items():
        value = values.get(key)
        if value is not None and not isinstance(value, kind):
            raise _foreign(path, f"{key} is a {type(value).__name__}, not a {kind.__name__}", fix)


@contextmanager
def as_written(path: Path, *, fix: str = _AGAIN) -> Iterator[None]:
    """Raise `RunFolderError` if the block does not find in a file's values what whylabel writes there."""
    try:
        yield
    except KeyError as error:
        raise _foreign(path, f"it has no {error}", fix) from error
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise _foreign(path, str(error), fix) from error


def _foreign(path: Path, reason: str, fix: str) -> RunFolderError:
    return RunFolderError(f"{path.name} is not what whylabel writes: {reason}.", where=str(path), fix=fix)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _sync(path: Path) -> None:
    # Windows cannot open folders, and can sync a file only if it is open for writing.
    if _WINDOWS and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if _WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that grows line by line, with their ends; one that does not exist has none.

    An incomplete last line, left by a killed process, is cut off.
    """
    if not path.exists():
        return
    whole = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                os.truncate(path, whole)
                return
            whole += len(line)
            yield line
