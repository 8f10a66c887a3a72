"""What a run folder says of its stages is what they were made with, and what is not a run's own stays."""

import json
import shutil

import pytest

from whylabel.cli.main import main
from whylabel.errors import RunFolderError, UsageError
from whylabel.pipeline import Pipeline
from whylabel.pipeline.job import Job
from whylabel.recipe import load_recipe, override_recipe
from whylabel.run_folder import STAGES, RunFolder


@pytest.fixture
def recipe_file(recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("# my own words\n" + recipe.to_yaml())
    return path


def said(run):
    return run.recipe.read_bytes(), run.manifest.read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "seed=99"],
        ["train", "--only", "classifier", "seed=99"],
        ["augment", "reasoner.training.learning_rate=0.5"],
        ["run", "data.source=nowhere.csv"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_verb_that_fails_leaves_what_the_stages_were_made_with(finished, recipe_file, arguments):
    before = said(finished)
    verb, *rest = arguments
    assert main([verb, str(recipe_file), *rest, "--output", str(finished.path)]) == 2
    assert said(finished) == before


def test_every_stage_keeps_the_recipe_versions_and_hardware_that_it_ran_with(finished, recipe):
    for stage in STAGES:
        entry = finished.stage(stage)
        assert entry["recipe"] == recipe.model_dump(mode="json")
        assert entry["versions"]["torch"] and entry["hardware"]["cores"]
        assert entry["decided_by"]


def test_a_stage_made_anew_keeps_its_own_recipe_and_the_others_theirs(recipe, tmp_path):
    run = RunFolder(tmp_path / "run")
    plain = override_recipe(recipe, classifier__target="label")
    Pipeline(plain, run).run_all()
    changed = override_recipe(plain, evaluation__bootstrap_samples=300, evaluation__shown=3)
    Pipeline(changed, run).run_all()
    samples = {
        stage: entry["recipe"]["evaluation"]["bootstrap_samples"]
        for stage, entry in run.read_manifest()["stages"].items()
    }
    assert samples == {
        **dict.fromkeys(
            ("train-baseline", "calibrate-baseline", "train-classifier", "calibrate-classifier"), 200
        ),
        "evaluate": 300,
    }
    assert load_recipe(run.recipe) == changed


def test_the_users_recipe_is_not_replaced_by_a_run_in_its_folder(recipe_file, capsys):
    before = recipe_file.read_bytes()
    for verb in ("run", "train", "augment", "evaluate", "train-reasoner"):
        assert main([verb, str(recipe_file), "--output", str(recipe_file.parent)]) == 2
    assert (
        "A run is not written into a folder that holds other things: 'recipe.yaml'" in capsys.readouterr().err
    )
    assert recipe_file.read_bytes() == before
    assert [path.name for path in recipe_file.parent.iterdir()] == ["recipe.yaml"]


def test_comments_in_the_recipe_of_a_run_stay(finished, recipe):
    own = finished.recipe.read_bytes()
    commented = b"# why: the third try\n" + own
    finished.recipe.write_bytes(commented)
    try:
        assert main(["train", str(finished.recipe), "--output", str(finished.path)]) == 0
        assert finished.recipe.read_bytes() == commented
    finally:
        finished.recipe.write_bytes(own)


def test_a_folder_of_somebody_else_is_refused(recipe, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="'notes.txt'"), RunFolder(tmp_path).locked():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_an_operating_system_leaves_in_a_folder_does_not_matter(recipe, tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    run = RunFolder(tmp_path)
    run.update_manifest()
    with run.locked():
        for folder in (tmp_path / "baseline" / "checkpoints", tmp_path / "classifier" / "checkpoints"):
            folder.mkdir(parents=True)
            (folder / ".DS_Store").write_bytes(b"\0")
    plain = override_recipe(recipe, classifier__target="label")
    with run.locked():
        Pipeline(plain, run).run_all()
    assert run.classifier_model.exists() and not (tmp_path / "classifier" / "checkpoints").exists()


def test_checkpoints_that_are_not_ours_stay(recipe, tmp_path):
    run = RunFolder(tmp_path / "run")
    checkpoints = run.classifier_model.parent / "checkpoints"
    (checkpoints / "my-best-run").mkdir(parents=True)
    (checkpoints / ("0" * 16)).mkdir()
    (checkpoints / "notes.txt").write_text("mine")
    job = Job("train-classifier", "a" * 64, Pipeline(recipe, run).inputs, run)
    own = job.checkpoints(run.classifier_model)
    own.mkdir()
    assert own == checkpoints / ("a" * 16)
    assert {path.name for path in checkpoints.iterdir()} == {"a" * 16, "my-best-run", "notes.txt"}
    job.discard(checkpoints)
    assert {path.name for path in checkpoints.iterdir()} == {"my-best-run", "notes.txt"}


def test_a_model_folder_with_something_of_the_user_in_it_is_refused_before_the_training(finished, recipe):
    note = finished.baseline_model / "notes.md"
    note.write_text("mine")
    try:
        with pytest.raises(UsageError, match=r"'notes\.md'"):
            Pipeline(override_recipe(recipe, training__max_steps=5), finished).begin()
        assert note.read_text() == "mine"
    finally:
        note.unlink()


def test_a_folder_with_another_programs_run_json_is_refused(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"steps": [1, 2]}))
    with pytest.raises(Exception, match="not what whylabel writes"), RunFolder(tmp_path).locked():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("name", ["reasoner", "baseline", "classifier"])
def test_a_model_whose_files_were_changed_is_not_used_under_its_old_record(finished, recipe, tmp_path, name):
    run = RunFolder(shutil.copytree(finished.path, tmp_path / "copy"))
    folder = run.path / name / "model"
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = {
        "reasoner": {"augment__filters__min_words": 1},
        "baseline": {"evaluation__bootstrap_samples": 300},
        "classifier": {"classifier__votes": 3},
    }
    pipeline = Pipeline(override_recipe(recipe, **changed[name]), run)
    with pytest.raises(RunFolderError, match="not as [a-z-]+ has left it: its files were changed") as caught:
        pipeline.run_all()
    assert caught.value.where == str(folder)
    # Its cure: without the folder, the stage that makes it runs again.
    shutil.rmtree(folder)
    assert f"train-{name}" in Pipeline(recipe, run).would_run()
    assert Pipeline(recipe, run).would_run()[f"train-{name}"] == "whylabel.json is missing"
