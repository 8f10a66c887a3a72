"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """Return the path with the home folder for `~`; that of an unknown user stays as it is, and is not there."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (pathlib's raises RuntimeError)
