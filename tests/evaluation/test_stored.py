"""Predictions on disk: what is stored comes back, and is not held in memory."""

import tracemalloc

import pytest

from whylabel.evaluation.stored import StoredPredictions
from whylabel.types import Evidence, Prediction

SAID = [
    Prediction("1", "joy", (0.1 + 0.2, 0.7)),
    Prediction(
        "2",
        "fear",
        (1e-300, 1.0),
        'It says "dark".',
        "blend",
        "reasoning_cut",
        0.25,
        12,
        evidence=(Evidence(0, 4, "dark", 1.5),),
        reasoning_status="withheld: copy",
        disagrees=True,
    ),
    Prediction("\ud800", "", (), status="failed", error="out of memory"),
]


def test_what_is_stored_comes_back():
    stored = StoredPredictions(SAID)
    assert list(stored) == SAID and len(stored) == 3
    assert (stored[1], stored[-1], stored[:2]) == (SAID[1], SAID[2], tuple(SAID[:2]))
    with pytest.raises(IndexError):
        stored[3]


def test_texts_are_not_held_in_memory():
    tracemalloc.start()
    stored = StoredPredictions(Prediction(str(at), "joy", (), "x" * 100_000) for at in range(300))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(stored) == 300 and held < 15_000_000
