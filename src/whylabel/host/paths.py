"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

from whylabel.errors import UsageError


def expanded(path: str | Path) -> Path:
    """Return the path with `~` replaced by the home folder. `~name` of an unknown user is not changed."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (pathlib's raises RuntimeError)


def home_folder(instead: str) -> Path:
    """Return the user's home folder. Raises `UsageError`, with `instead` as its fix, if there is none."""
    try:
        # With an empty `HOME`, Python would take the root folder for the home folder.
        if os.environ.get("HOME") != "":
            return Path.home()
    except (RuntimeError, KeyError):
        pass
    raise UsageError("This user has no home folder.", fix=instead)
