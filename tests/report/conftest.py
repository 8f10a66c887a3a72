"""Fixtures of the report's tests."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from finished_run import MakeRun, write_run


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a maker of run folders, see `write_run`."""
    return partial(write_run, tmp_path / "quickstart")
