"""What a training is given: rows, budget, folders of its own. No model is trained here."""

import json
from collections import Counter

import pytest

from whylabel.errors import DataError, LabelError
from whylabel.pipeline import train
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.job import Job
from whylabel.reasonings.files import kept_rows
from whylabel.recipe import FilterConfig, build_recipe
from whylabel.run_folder import RunFolder
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
    assert [f"why {each}" if each else None for each in rows] == [
        getattr(row, "reasoning", None) for row in found
    ]
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
        job(baseline={"budget": budget}, training={"max_steps": 99, "learning_rate": 0.5})
    )
    assert {name: getattr(found, name) for name in limits} == limits
    assert found.max_supervised_tokens is None
    assert found.learning_rate == 0.5
    alone = train._baseline_training(
        job(spent={"steps": 7, "flops": 5.0}, baseline={"budget": "matched_steps"})
    )
    assert alone.max_steps == 7


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
