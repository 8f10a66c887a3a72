"""What a training is given: rows, budget, folders of its own. No model is trained here."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import pytest

from whylabel.errors import DataError, LabelError
from whylabel.models import load as models
from whylabel.models.load import read_card
from whylabel.pipeline import train
from whylabel.pipeline.calibrate import trained_content
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.job import Job
from whylabel.prediction.card import MODES, ModelCard
from whylabel.reasonings.files import kept_rows
from whylabel.recipe import FilterConfig, build_recipe
from whylabel.run_folder import RunFolder
from whylabel.stages import classifier
from whylabel.types import Dataset, Example, ReasonedExample

TRAIN = tuple(Example(str(at), f"text {at}", ("joy", "fear")[at % 2]) for at in range(6))
REASONED = [ReasonedExample(row.id, row.text, row.label, f"why {row.id}") for row in TRAIN[1:4]]
SPENT = {
    "steps": 7,
    "flops": 1000.0,
    "self_training": [{"steps": 2, "flops": 10.0}, {"steps": 3, "flops": 20.0}],
}


@pytest.fixture
def job(tmp_path):
    """Return a function that makes a job of a recipe with these values, its run folder with reasonings."""
    run = RunFolder(tmp_path / "run")
    with kept_rows(run.kept) as keep:
        for row in REASONED:
            keep(row)
    run.classifier_metrics.parent.mkdir()

    def make(spent=SPENT, **values):
        run.classifier_metrics.write_text(json.dumps(spent))
        return Job(
            "train-classifier", "0123456789abcdef0123", Inputs(build_recipe(values), Dataset(TRAIN)), run
        )

    return make


@pytest.mark.parametrize(
    ("target", "rows"),
    [
        ("label", [None] * 6),
        ("reasoning_label", ["1", "2", "3"]),
        ("label_reasoning", ["1", "2", "3"]),
        ("dual", [None, "1", "2", "3", None, None]),
    ],
)
def test_rows_without_a_reasoning_are_learnt_where_they_can_be_answered_at_once(job, target, rows):
    found = train._classifier_rows(job(classifier={"target": target}))
    assert [f"why {each}" if each else "" for each in rows] == [row.reasoning for row in found]
    if target in ("label", "dual"):
        assert [row.id for row in found] == [row.id for row in TRAIN]


def test_a_control_spoils_what_is_learnt_by_the_seed(job, capsys):
    def spoilt(seed):
        values = {"target": "reasoning_label", "control": "another_text"}
        return [row.reasoning for row in train._classifier_rows(job(seed=seed, classifier=values))]

    plain = [row.reasoning for row in REASONED]
    # Both fears have only each other.
    assert spoilt(1)[0] == plain[2] and spoilt(1)[2] == plain[0] and spoilt(1)[1] in (plain[0], plain[2])
    assert "spoilt on purpose (another_text)" in capsys.readouterr().err
    assert len({tuple(spoilt(seed)) for seed in range(8)}) == 2


def test_a_budget_of_the_same_settings_is_that_of_the_recipe(job):
    same = job(training={"max_steps": 9})
    assert train._baseline_training(same) == same.inputs.recipe.training


@pytest.mark.parametrize(
    ("budget", "limits"),
    [
        ("matched_steps", {"max_steps": 12, "max_train_flops": None}),
        ("matched_flops", {"max_steps": None, "max_train_flops": 1030.0}),
    ],
)
def test_a_matched_budget_is_all_that_the_classifier_spent_and_the_only_one(job, budget, limits):
    found = train._baseline_training(
        job(
            baseline={"budget": budget},
            training={
                "max_steps": 99,
                "max_supervised_tokens": 5,
                "max_train_flops": 3.0,
                "learning_rate": 0.5,
            },
        )
    )
    assert {name: getattr(found, name) for name in limits} == limits
    assert found.max_supervised_tokens is None
    assert found.learning_rate == 0.5
    alone = train._baseline_training(
        job(spent={"steps": 7, "flops": 5.0}, baseline={"budget": "matched_steps"})
    )
    assert alone.max_steps == 7


@pytest.fixture
def trainings(monkeypatch, tiny_model_folder):
    """What the two trainings are given, one dictionary each, and the file of the card that each leaves."""
    found = []
    loaded = object()

    def load(name, **named):
        found.append({"load": (name, named)})
        return loaded

    def trained(given, rows, labels, recipe, **named):
        assert given is loaded
        found[-1] |= {"rows": rows, "labels": labels.names, "recipe": recipe, **named}
        target = named["target"]
        card = ModelCard(labels, target, "?", "Label", "compact", 8, 16, {}, MODES[target])
        return card, {"tokens": 12.0, "steps": 3}

    def saved(given, card, rows, folder):
        assert given is loaded and rows is found[-1]["rows"]
        shutil.copytree(tiny_model_folder, folder, dirs_exist_ok=True)
        (folder / "whylabel.json").write_text(json.dumps(card.to_json()))

    monkeypatch.setattr(models, "load", load)
    monkeypatch.setattr(classifier, "train_classifier", trained)
    monkeypatch.setattr(classifier, "save_checked", saved)
    return found


def test_both_models_are_trained_as_the_recipe_says_each_on_its_rows(job, trainings, tiny_model_folder):
    mine = job(
        base_model=str(tiny_model_folder),
        device="cpu",
        classifier={"target": "reasoning_label"},
        baseline={"budget": "matched_steps"},
        training={"max_steps": 99},
        data={"text_column": "body"},
    )
    dataset = Dataset(TRAIN, validation=TRAIN[:2], inferred={"text_column": "body", "label_column": "topic"})
    mine = replace(mine, inputs=Inputs(mine.inputs.recipe, dataset))
    run = mine.run
    baseline = train.baseline_stage(mine)
    (mine.checkpoints(run.classifier_model) / "step-1").mkdir(parents=True)
    trained = train.classifier_stage(mine)
    assert (baseline.rows, baseline.tokens) == (6, 12) and (trained.rows, trained.tokens) == (3, 12)
    assert [list(one["rows"]) for one in trainings] == [list(TRAIN), REASONED]
    assert [one["target"] for one in trainings] == ["label", "reasoning_label"]
    assert trainings[0]["training"].max_steps == 12 and trainings[1]["training"] is None
    for one, folder in zip(trainings, (run.baseline_model, run.classifier_model), strict=True):
        assert one["load"] == (str(tiny_model_folder), {"device": "cpu", "dtype": "float32"})
        assert (one["labels"], one["recipe"]) == (mine.inputs.labels.names, mine.inputs.recipe)
        assert (one["title"], one["validation"]) == ("train-classifier", TRAIN[:2])
        assert one["checkpoints"] == folder.parent / "checkpoints" / mine.key[:16]
        assert one["lineage"] == mine.lineage()
        assert not (folder.parent / "checkpoints").exists()
        assert read_card(folder)["columns"] == {"text": "body", "label": "topic", "id": None}
    for result, folder, metrics in (
        (baseline, run.baseline_model, run.baseline_metrics),
        (trained, run.classifier_model, run.classifier_metrics),
    ):
        assert result.record == {"content": trained_content(folder)}
        assert json.loads(metrics.read_text()) == {"tokens": 12.0, "steps": 3}


def test_rounds_of_self_training_come_before_the_classifier_and_are_counted(job, trainings, monkeypatch):
    mine = job(classifier={"target": "dual", "self_training_rounds": 2}, base_model="base")
    monkeypatch.setattr(Inputs, "base_fingerprint", "base")
    rounds = []

    def one_round(given, number, rows):
        assert given is mine
        rounds.append((number, len(rows)))
        return [*rows, REASONED[0]], {"steps": number}

    monkeypatch.setattr(train, "self_training_round", one_round)
    train.classifier_stage(mine)
    assert rounds == [(1, 6), (2, 7)]
    assert len(trainings[0]["rows"]) == 8
    metrics = json.loads(mine.run.classifier_metrics.read_text())
    assert metrics == {"tokens": 12.0, "steps": 3, "self_training": [{"steps": 1}, {"steps": 2}]}


def test_work_of_other_settings_is_removed_and_its_own_stays(job, tmp_path):
    mine = job()
    parent = tmp_path / "checkpoints"
    for name in ("0123456789abcdef", "fedcba9876543210", "mine"):
        (parent / name / "step-1").mkdir(parents=True)
    own = mine.own(parent)
    assert own == parent / "0123456789abcdef"
    assert {path.name for path in parent.iterdir()} == {"0123456789abcdef", "mine"} and (
        own / "step-1"
    ).exists()
    assert mine.own(tmp_path / "not there yet") == tmp_path / "not there yet" / "0123456789abcdef"
    model = mine.run.classifier_model
    assert mine.checkpoints(model) == model.parent / "checkpoints" / "0123456789abcdef"


def test_a_model_says_where_it_comes_from(job, tiny_model_folder, tmp_path):
    mine = job(base_model=str(tiny_model_folder), seed=5)
    mine.run.update_manifest(data={"fingerprint": "of another recipe"})
    found = mine.lineage()
    assert found["base_model"] == str(tiny_model_folder)
    assert len(found["base_model_fingerprint"]) == 64
    assert found["data"] == mine.inputs.description
    assert (found["seed"], found["stage"]) == (5, "train-classifier")
    assert found["versions"]["torch"]
    assert "base_model_quantisation" not in found
    other = tmp_path / "other"
    other.mkdir()
    for path in tiny_model_folder.iterdir():
        content = path.read_bytes()
        (other / path.name).write_bytes(content + b"\n" if path.name == "tokenizer.json" else content)
    named = mine.lineage(str(other))
    assert named["base_model"] == str(other)
    assert len(named["base_model_fingerprint"]) == 64
    assert named["base_model_fingerprint"] != found["base_model_fingerprint"]


def test_labels_are_those_of_the_data_set_else_of_all_rows():
    rows = {split: (Example(split, split, split),) for split in ("train", "validation", "test")}
    assert set(Inputs(build_recipe({}), Dataset(**rows)).labels.names) == {"train", "validation", "test"}
    known = Dataset(**rows, labels=("train", "validation", "test", "unseen"))
    assert "unseen" in Inputs(build_recipe({}), known).labels.names
    several = build_recipe({"task": {"type": "multi_label"}, "classifier": {"target": "label"}})
    joined = Dataset((Example("1", "a", "joy, love"), Example("2", "b", ""), Example("3", "c", "fear")))
    assert Counter(Inputs(several, joined).labels.names) == Counter(["joy", "love", "fear"])
    with pytest.raises(LabelError, match="contains the separator"):
        _ = Inputs(several, Dataset(joined.train, labels=("joy, love", "fear"))).labels
    assert Inputs(build_recipe({}), joined).multi_label is None


def test_each_split_has_an_identity_of_its_own():
    dataset = Dataset(TRAIN[:2], TRAIN[2:4], TRAIN[4:])
    found = Inputs(build_recipe({}), dataset).data_fingerprints
    assert set(found) == {"train", "validation", "test"} and len(set(found.values())) == 3
    assert {len(value) for value in found.values()} == {64}


def test_only_data_without_test_rows_is_refused():
    Inputs(build_recipe({}), Dataset(TRAIN, test=TRAIN)).check_test()
    with pytest.raises(DataError, match="no test split"):
        Inputs(build_recipe({}), Dataset(TRAIN)).check_test()


def test_a_question_of_the_filters_own_comes_first():
    def asked(**filters):
        recipe = build_recipe({"task": {"question": "Which mood?"}, "augment": {"filters": filters}})
        return Inputs(recipe, Dataset(TRAIN)).filters

    assert asked() == FilterConfig(question="Which mood?")
    assert asked(question="Which?", min_words=2) == FilterConfig(question="Which?", min_words=2)
    assert asked(question="").question == ""
