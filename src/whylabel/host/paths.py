"""Paths as users write them."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from whylabel.errors import UsageError


def expanded(path: str | Path) -> Path:
    """Return the path with `~` replaced by the home folder. `~name` of an unknown user is not changed."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (pathlib's raises RuntimeError)


def nearest(path: Path) -> Path:
    """Return the path, or the nearest of its parents that is there.

    Raises `OSError` where there can be no such path, as with too long a name. (From Python 3.14 on, `exists` answers
    that nothing is there.)
    """
    for place in (path, *path.parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            place.stat()
            return place
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def home_folder(instead: str) -> Path:
    """Return the user's home folder. Raises `UsageError`, with `instead` as its fix, if there is none."""
    try:
        # With an empty `HOME`, Python would take the root folder for the home folder.
        if os.environ.get("HOME") != "":
            return Path.home()
    except (RuntimeError, KeyError):
        pass
    raise UsageError("This user has no home folder.", fix=instead)
