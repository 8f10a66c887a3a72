"""The scripts of `experiments/`, imported from their folder."""

from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import run

    return run
