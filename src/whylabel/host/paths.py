"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

from whylabel.errors import UsageError


def expanded(path: str | Path) -> Path:
    """Return the path with the home folder for `~`; that of an unknown user stays as it is, and is not there."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (pathlib's raises RuntimeError)


def home_folder(instead: str) -> Path:
    """Return the user's home folder. Raises `UsageError`, whose fix is `instead`, for a user who has none."""
    try:
        # `HOME=` would make the root of all files a home.
        if os.environ.get("HOME") != "":
            return Path.home()
    except (RuntimeError, KeyError):
        pass
    raise UsageError("This user has no home folder.", fix=instead)
