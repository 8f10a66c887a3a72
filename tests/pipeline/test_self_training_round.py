"""What a round of self-training is given, what it leaves, and when it is done. No model is trained here."""

import json
from collections import Counter

import pytest

from whylabel.models import load as models
from whylabel.pipeline import self_training as rounds
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.job import Job
from whylabel.prediction import trained
from whylabel.reasonings.files import kept_rows, read_reasoned
from whylabel.recipe import build_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages import classifier, self_training
from whylabel.stages.self_training import OwnReasonings
from whylabel.types import Dataset, Example, ReasonedExample

TRAIN = tuple(Example(str(at), f"text {at}", ("joy", "fear")[at % 2]) for at in range(4))
OWN = ReasonedExample("1", "text 1", "fear", "so it is", candidates=("so it is",))


@pytest.fixture
def job(tmp_path):
    recipe = build_recipe({"base_model": "base", "device": "cpu", "classifier": {"target": "dual"}})
    inputs = Inputs(recipe, Dataset(TRAIN, validation=TRAIN[:2]))
    return Job("train-classifier", "0123456789abcdef0123", inputs, RunFolder(tmp_path / "run"))


@pytest.mark.parametrize(
    ("lost", "again"), [((), False), (("parquet",), True), (("json",), True), (("parquet", "json"), True)]
)
def test_a_round_is_done_once_its_reasonings_and_its_counts_are_there(job, monkeypatch, capsys, lost, again):
    written = []

    def write(given, title, rows, reasonings, counts):
        written.append((given, title, list(rows)))
        with kept_rows(reasonings) as keep:
            keep(OWN)
        counts.write_text(json.dumps({"rows": len(written)}))

    monkeypatch.setattr(rounds, "_write", write)
    found, counts = rounds.self_training_round(job, 2, TRAIN)
    assert written == [(job, "round 2", list(TRAIN))]
    assert capsys.readouterr().err == "  self-training, round 2:\n"
    assert [row.reasoning for row in found] == ["", "so it is", "", ""]
    assert counts == {"rows": 1}
    folder = job.run.self_training / job.key[:16]
    assert {file.name for file in folder.iterdir()} == {"round-2.parquet", "round-2.json"}
    for suffix in lost:
        (folder / f"round-2.{suffix}").unlink()
    assert rounds.self_training_round(job, 2, TRAIN)[1] == {"rows": 1 + again}
    assert ("round 2" in capsys.readouterr().err) == again


def test_a_round_trains_a_classifier_on_its_rows_and_keeps_what_it_writes(job, monkeypatch, tmp_path):
    loaded, card = object(), object()
    calls = {}

    def load(name, **named):
        calls["load"] = name, named
        return loaded

    def train(*given, **named):
        calls["train"] = given, named
        (named["checkpoints"] / "step-1").mkdir(parents=True)
        return card, {"steps": 7, "flops": 9.0, "tokens": 3, "seconds": 1.5}

    class Model:
        def __init__(self, *given):
            calls["model"] = given

    def write_own(model, rows, filters, *, title):
        calls["own"] = type(model), rows, filters, title
        return OwnReasonings((OWN,), Counter({"too short": 3}))

    monkeypatch.setattr(models, "load", load)
    monkeypatch.setattr(classifier, "train_classifier", train)
    monkeypatch.setattr(trained, "TrainedClassifier", Model)
    monkeypatch.setattr(self_training, "write_own", write_own)
    reasonings, counts = tmp_path / "round-1.parquet", tmp_path / "round-1.json"
    rounds._write(job, "round 1", TRAIN[1:], reasonings, counts)
    assert calls["load"] == ("base", {"device": "cpu", "dtype": "float32"})
    given, named = calls["train"]
    assert given == (loaded, TRAIN[1:], job.inputs.labels, job.inputs.recipe)
    checkpoints = job.checkpoints(job.run.classifier_model) / "round-1"
    assert named == {
        "target": "dual",
        "title": "round 1",
        "checkpoints": checkpoints,
        "lineage": {},
        "validation": TRAIN[:2],
    }
    assert calls["model"] == (loaded, card)
    # Every train row gets a try, whatever the classifier was trained on.
    assert calls["own"] == (Model, list(TRAIN), job.inputs.filters, "round 1: own reasonings")
    assert read_reasoned(reasonings) == (OWN,)
    assert json.loads(counts.read_text()) == {
        "rows": 4,
        "kept": 1,
        "refused": {"too short": 3},
        "steps": 7,
        "flops": 9.0,
        "tokens": 3,
        "seconds": 1.5,
    }
    assert not checkpoints.exists()
