import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from whylabel.errors import RunFolderError, UsageError
from whylabel.run_folder import STAGES, RunFolder

HOLD_THE_LOCK = (
    "import sys, time\n"
    "from whylabel.run_folder import RunFolder\n"
    "with RunFolder(sys.argv[1]).locked():\n"
    "    print('locked'); time.sleep(60)"
)


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


def finish(run, stage, key="key", **record):
    for path in run.outputs(stage):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run.finish_stage(stage, key, seconds=1.234, rows=3, tokens=4, **record)


def test_making_the_object_touches_nothing(run):
    assert not run.path.exists()
    assert run.read_manifest() == {}
    assert not any(run.is_current(stage, "key") for stage in STAGES)
    assert not run.path.exists()


def test_the_names_are_those_of_the_public_interface(run):
    paths = {path for path in vars(run).values() if isinstance(path, Path) and path != run.path}
    names = {str(path.relative_to(run.path)) for path in paths}
    assert names == {
        *("recipe.yaml", "run.json", "report.html", "MODEL_CARD.md", "inspection.json"),
        *("reasoner/model", "reasoner/metrics.json"),
        *("augment/store.sqlite", "augment/train.parquet", "augment/dropped.parquet", "augment/metrics.json"),
        "augment/suspects.parquet",
        *("classifier/model", "classifier/metrics.json", "classifier/self_training"),
        *("baseline/model", "baseline/metrics.json"),
        *("augment/folds", "augment/folds.parquet"),
        *("evaluation/metrics.json", "evaluation/predictions.parquet", "evaluation/answers"),
        *("evaluation/evidence.json", "evaluation/faithfulness.json", "evaluation/readings.jsonl"),
    }


@pytest.mark.parametrize("stage", STAGES)
def test_a_finished_stage_is_current_for_its_own_inputs(run, stage):
    finish(run, stage)
    assert run.is_current(stage, "key")
    assert not run.is_current(stage, "another key")
    assert not any(run.is_current(other, "key") for other in STAGES if other != stage)


@pytest.mark.parametrize(("stage", "missing"), [(stage, at) for stage in STAGES for at in (0, -1)])
def test_a_stage_with_a_missing_output_is_not_current(run, stage, missing):
    finish(run, stage)
    run.outputs(stage)[missing].unlink()
    assert not run.is_current(stage, "key")


@pytest.mark.parametrize("stage", ["train-reasoner", "train-baseline", "train-classifier"])
def test_a_model_without_its_weights_is_not_current(run, stage):
    finish(run, stage)
    folder = run.outputs(stage)[0].parent
    (weights,) = folder.glob("*.safetensors")
    weights.rename(folder / "model-00001-of-00002.safetensors")
    assert run.is_current(stage, "key")
    (folder / "model-00001-of-00002.safetensors").unlink()
    assert [path.name for path in run.missing_outputs(stage)] == ["model.safetensors"]
    assert not run.is_current(stage, "key")


def test_a_stage_that_has_begun_again_is_not_current(run):
    finish(run, "augment")
    run.begin_stage("augment", "key")
    assert not run.is_current("augment", "key")


def test_a_stage_whose_outputs_are_replaced_counts_as_undone_only_if_it_has_run(run):
    run.begin_stage("train-baseline", "key", undone="calibrate-baseline")
    assert run.stage("calibrate-baseline") == {}
    finish(run, "calibrate-baseline")
    run.begin_stage("train-baseline", "key", undone="calibrate-baseline")
    assert run.stage("calibrate-baseline") == {"status": "undone"}


def test_the_manifest_keeps_what_was_recorded(run):
    run.update_manifest(seed=13)
    finish(run, "augment", loss=0.5)
    run.update_manifest(hardware={"cores": 2})
    manifest = run.read_manifest()
    assert manifest["seed"] == 13 and manifest["hardware"] == {"cores": 2}
    entry = manifest["stages"]["augment"]
    assert (entry["seconds"], entry["rows"], entry["tokens"], entry["loss"]) == (1.23, 3, 4, 0.5)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["finished"])


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b""])
def test_a_manifest_that_cannot_be_read(run, content):
    run.path.mkdir()
    run.manifest.write_bytes(content)
    with pytest.raises(RunFolderError) as caught:
        run.is_current("augment", "key")
    assert str(run.manifest) == caught.value.where


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", 1), ("fingerprint", []), ("content", {}), ("failed_rows", "x"), ("decided_by", "x")],
)
def test_a_wrong_value_in_the_entry_of_a_stage_is_named(run, name, value):
    run.update_manifest(stages={"augment": {"status": "done", name: value}})
    with pytest.raises(RunFolderError, match=rf"is not what whylabel writes: {name} is a") as caught:
        run.stage("augment")
    assert caught.value.where == str(run.manifest) and "remove the file" in caught.value.fix


def test_an_entry_without_a_content_hash_is_named(run):
    run.update_manifest(stages={"augment": {"status": "done", "failed_rows": None}})
    assert run.failed_rows("augment") == 0
    with pytest.raises(RunFolderError, match="it has no 'content'") as caught:
        run.content("augment")
    assert caught.value.where == str(run.manifest) and "remove the file" in caught.value.fix


def test_the_recipe_is_written(run):
    run.write_recipe("name: é\n")
    assert run.recipe.read_text(encoding="utf-8") == "name: é\n"


# -- the lock ----------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_by_name(run):
    with subprocess.Popen([sys.executable, "-u", "-c", HOLD_THE_LOCK, run.path], stdout=-1) as holder:
        try:
            assert holder.stdout.readline() == b"locked\n"
            with pytest.raises(RunFolderError, match=rf"\(pid {holder.pid}\)") as caught, run.locked():
                pass
            assert "--output" in caught.value.fix and caught.value.where == str(run.path)
        finally:
            holder.kill()
    with run.locked():
        assert (run.path / ".lock").read_text() == f"pid {os.getpid()}"


def test_a_killed_holder_frees_the_lock(run, run_and_kill):
    assert run_and_kill(HOLD_THE_LOCK, run.path) == ["locked"]
    with run.locked():
        pass


def test_what_a_killed_holder_left_half_written_is_removed_by_the_next(run):
    (run.path / "evaluation").mkdir(parents=True)
    torn = run.path / "evaluation" / ".predictions.partial-123.parquet"
    card = run.baseline_model / ".whylabel.partial-123.json"
    card.parent.mkdir(parents=True)
    others = [run.path / ".run.partial-x.json", run.path / "evaluation" / "predictions.parquet"]
    run.update_manifest(seed=13)
    for path in (torn, card, run.path / ".run.partial-123.json", *others):
        path.touch()
    with run.locked():
        assert not torn.exists() and not card.exists() and not (run.path / ".run.partial-123.json").exists()
        assert all(path.exists() for path in others)


def test_a_folder_whose_first_manifest_was_half_written_is_that_of_a_run(run):
    run.path.mkdir()
    (run.path / ".run.partial-123.json").touch()
    with run.locked():
        run.update_manifest(seed=13)
    assert sorted(path.name for path in run.path.iterdir()) == [".lock", ".lock.sqlite", "run.json"]


def test_the_lock_is_free_after_an_error_and_cannot_be_taken_twice(run):
    with pytest.raises(ZeroDivisionError), run.locked():
        raise ZeroDivisionError
    with run.locked(), pytest.raises(RunFolderError, match="Another process"), run.locked():
        pass


def test_two_run_folders_do_not_meet(tmp_path):
    with RunFolder(tmp_path / "a").locked(), RunFolder(tmp_path / "b").locked():
        pass


def test_a_file_in_the_place_of_the_folder(run):
    run.path.write_text("not a folder")
    with pytest.raises(UsageError, match="needs a folder") as caught, run.locked():
        pass
    assert "--output" in caught.value.fix


def test_a_folder_that_cannot_be_written(run, monkeypatch):
    def refuse(*_arguments, **_named):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RunFolderError, match="cannot be written: Permission denied") as caught, run.locked():
        pass
    assert "--output" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file/run", "Not a directory"), ("x" * 300, "File name too long"), ("a\udcff", "is not valid UTF-8")],
    ids=["under a file", "too long", "half a character"],
)
def test_where_no_file_can_be_written_is_known_without_writing(tmp_path, name, reason):
    (tmp_path / "file").write_text("")
    run = RunFolder(tmp_path / name)
    with pytest.raises(RunFolderError, match=f"cannot be written: .*{reason}") as caught:
        run.check_ours()
    assert "--output" in caught.value.fix and caught.value.where == str(run.path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "name", ["recipe.yaml", "report.html", "augment/store.sqlite", "evaluation/metrics.json"]
)
def test_a_folder_in_the_place_of_a_file_is_known_before_the_first_stage(run, name):
    run.update_manifest(versions={})
    (run.path / name).mkdir(parents=True)
    with pytest.raises(RunFolderError, match="A folder is in the place of") as caught:
        run.check_ours()
    assert caught.value.where == str(run.path / name)


def test_a_lock_alone_makes_no_run_and_does_not_stand_in_its_way(run):
    run.path.mkdir(parents=True)
    for _ in range(2):
        with run.locked():
            assert run.read_manifest() == {}
    assert {path.name for path in run.path.iterdir()} == {".lock", ".lock.sqlite"}


def test_the_manifest_is_sorted_json(run):
    run.update_manifest(b=1, a=2)
    assert list(json.loads(run.manifest.read_text())) == ["a", "b", "format", "stages"]


@pytest.mark.parametrize("content", ['{"stages": []}', '{"stages": {"augment": 3}}', "[]"])
def test_a_manifest_of_another_shape_is_refused(run, content):
    run.path.mkdir(parents=True, exist_ok=True)
    run.manifest.write_text(content)
    with pytest.raises(RunFolderError, match="not what whylabel writes") as raised:
        run.is_current("augment", "key")
    assert "remove the file" in str(raised.value)


def test_a_new_folder_in_which_nothing_was_written_is_removed_again(tmp_path):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(ZeroDivisionError), run.locked():
        raise ZeroDivisionError
    assert not run.path.exists()
    with run.locked():
        run.update_manifest()
    assert run.manifest.exists()


def test_an_empty_folder_that_was_there_before_stays(tmp_path):
    run = RunFolder(tmp_path)
    with run.locked():
        pass
    assert run.path.exists()
