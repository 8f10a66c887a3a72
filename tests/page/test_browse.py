"""Test predictions that are looked at while a run goes on, without a server."""

import pytest

from finished_run import EMOTIONS
from whylabel.errors import RunInUseError
from whylabel.evaluation.predictions import read_predictions, write_predictions
from whylabel.page import browse, runs
from whylabel.page.runs import ServedRun
from whylabel.page.schemas import PredictionQuery


@pytest.fixture
def served(run):
    return ServedRun("quickstart", run, EMOTIONS)


def look(served, **query):
    return browse.browse(served, PredictionQuery(model="classifier", **query))


def test_rows_that_are_written_in_between_are_not_shown(run, served, monkeypatch):
    read = runs.predictions_at

    def read_late(path, numbers):
        write_predictions(path, read_predictions(path)[::-1])
        return read(path, numbers)

    with monkeypatch.context() as patched:
        patched.setattr(runs, "predictions_at", read_late)
        with pytest.raises(RunInUseError, match="being written"):
            look(served)
    assert {row.model for row in look(served).data} == {"classifier"}
