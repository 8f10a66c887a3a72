"""Test predictions that are looked at while a run goes on, without a server."""

from dataclasses import replace

import pytest

from finished_run import EMOTIONS
from whylabel.errors import RunFolderError, RunInUseError
from whylabel.evaluation.predictions import read_predictions, write_predictions
from whylabel.host.atomic import read_json, write_json
from whylabel.page import browse, runs
from whylabel.page.runs import ServedRun
from whylabel.page.schemas import PredictionQuery


@pytest.fixture
def served(run):
    return ServedRun("quickstart", run, EMOTIONS)


def look(served, **query):
    return browse.browse(served, PredictionQuery(model="classifier", **query))


def set_labels(run, labels):
    write_json(run.evaluation_metrics, {**read_json(run.evaluation_metrics, dict), "labels": labels})


def set_probabilities(run, probabilities):
    rows = [
        replace(row, prediction=replace(row.prediction, probabilities=probabilities))
        for row in read_predictions(run.predictions)
    ]
    write_predictions(run.predictions, rows)


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


def test_the_labels_are_those_of_the_evaluation(run, served):
    assert look(served).labels == list(EMOTIONS)
    set_labels(run, ["no", "maybe", "yes"])
    set_probabilities(run, (0.1, 0.2, 0.7))
    found = look(served)
    assert found.labels == ["no", "maybe", "yes"]
    assert found.data[0].probabilities == {"yes": 0.7, "maybe": 0.2, "no": 0.1}


def test_an_evaluation_without_labels_has_those_of_the_model(run, served):
    set_labels(run, None)
    assert look(served).labels == list(EMOTIONS)


def test_predictions_with_other_labels_than_the_figures_are_not_shown(run, served):
    set_probabilities(run, (0.1, 0.2, 0.7))
    with pytest.raises(RunFolderError, match="another evaluation"):
        look(served)


def test_a_failed_prediction_has_no_probabilities(run, served):
    set_probabilities(run, ())
    row = look(served).data[0]
    assert row.probabilities == {} and row.probability is None
