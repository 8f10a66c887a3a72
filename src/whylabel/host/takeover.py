"""Check whether a path may be overwritten: files that a user has put there are never replaced or removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from whylabel.errors import UsageError

_SHOWN = 3
# Operating systems create these by themselves, and nobody needs them.
_LEFT_BY_SYSTEMS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".directory"})


def contents(folder: Path) -> list[Path]:
    """Return the content of a folder, sorted, without the files that operating systems create there."""
    return sorted(path for path in folder.iterdir() if path.name not in _LEFT_BY_SYSTEMS)


def check_folder(folder: Path, is_ours: Callable[[Path], bool], *, wanted: str, fix: str) -> None:
    """Raise `UsageError` unless the folder may be written to: it is absent, or everything in it is ours.

    `is_ours` judges a file or folder directly in it; `wanted` names what is to be written (`A model`).
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        found = "a file" if folder.exists() else "a link that leads nowhere"
        raise UsageError(f"{wanted} needs a folder, but this is {found}.", where=str(folder), fix=fix)
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

    `is_ours` judges a file that is not empty. `sources` are the files that it is made from, under whatever name.
    """
    if file.is_dir():
        raise UsageError(f"{wanted} needs a file, but this is a folder.", where=str(file), fix=fix)
    if file.exists() and not file.is_file():
        raise UsageError(f"{wanted} needs a file, but this is a device or a pipe.", where=str(file), fix=fix)
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
