"""Whether a path may be taken over: what a user has put there is never replaced or removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from whylabel.errors import UsageError

_SHOWN = 3
# Operating systems leave these by themselves; nobody misses them.
_LEFT_BY_SYSTEMS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".directory"})


def contents(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted, without the files that operating systems leave there by themselves."""
    return sorted(path for path in folder.iterdir() if path.name not in _LEFT_BY_SYSTEMS)


def check_folder(folder: Path, is_ours: Callable[[Path], bool], *, wanted: str, fix: str) -> None:
    """Raise `UsageError` unless the folder may be filled: it is absent, or all that is in it is ours.

    `is_ours` judges a file or folder directly in it, `wanted` says what is to be written (`A model`).
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise UsageError(f"{wanted} needs a folder, and this is a file.", where=str(folder), fix=fix)
    foreign = [path.name for path in contents(folder) if not is_ours(path)]
    if foreign:
        raise UsageError(
            f"{wanted} is not written into a folder that holds other things: {_listed(foreign)}.",
            where=str(folder),
            fix=fix,
        )


def check_file(
    file: Path, is_ours: Callable[[Path], bool], *, wanted: str, fix: str, sources: Iterable[Path] = ()
) -> None:
    """Raise `UsageError` unless the file may be written: it is absent, empty or ours, and none of the `sources`.

    `is_ours` judges a file that holds something; `sources` are read to write it, under whatever name.
    """
    if file.is_dir():
        raise UsageError(f"{wanted} needs a file, and this is a folder.", where=str(file), fix=fix)
    if file.exists() and not file.is_file():
        raise UsageError(f"{wanted} needs a file, and this is a device or a pipe.", where=str(file), fix=fix)
    for source in sources:
        if file.exists() and source.exists() and file.samefile(source):
            raise UsageError(f"{wanted} would replace what it is made from.", where=str(file), fix=fix)
    if file.exists() and file.stat().st_size > 0 and not is_ours(file):
        raise UsageError(
            f"{wanted} would replace a file that whylabel has not written.", where=str(file), fix=fix
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
