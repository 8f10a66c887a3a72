"""A stage is killed with no warning; the same command then ends as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from whylabel.reasonings.store import open_store
from whylabel.run_folder import RunFolder

_PATIENCE_SECONDS = 120


FAST = "augment.engine_options.delay_seconds=0"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def recipe(tiny_model_folder, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    values = {
        "base_model": str(tiny_model_folder),
        "data": {"train_rows": 60, "test_rows": 12, "validation_rows": 6},
        "reasoner": {
            "model": str(tiny_model_folder),
            "rows": 40,
            "validation_rows": 2,
            "training": {"per_device_train_batch_size": 2, "save_steps": 5},
        },
        "augment": {
            "engine": "scripted",
            "engine_options": {"delay_seconds": 0.05},
            "sampling": {"max_new_tokens": 24},
        },
        "training": {"per_device_train_batch_size": 2, "save_steps": 10, "num_train_epochs": 1},
        "evaluation": {"bootstrap_samples": 200},
    }
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory) -> RunFolder:
    """A run that nobody disturbed."""
    run = RunFolder(tmp_path_factory.mktemp("whole"))
    finish(start("run", recipe, run, FAST))
    return run


def start(verb: str, recipe: Path, run: RunFolder, *overrides: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "whylabel", verb, str(recipe), "--output", str(run.path), *overrides]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, preexec_fn=_listen_to_interrupts, **pipes)


def _listen_to_interrupts() -> None:
    # Where the tests run in the background, a shell has told them, and all that they start, to ignore SIGINT.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=_PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    return errors


def kill_when(process: subprocess.Popen, reached, sign: int = signal.SIGKILL) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(process.pid, sign)
    process.communicate(timeout=_PATIENCE_SECONDS)


def rows_in(run: RunFolder) -> int:
    if not run.store.exists():
        return 0
    with open_store(run.store) as store:
        return len(store)


def checkpoint_in(model: Path) -> list[Path]:
    return list((model.parent / "checkpoints").glob("*/checkpoint-*/complete.json"))


def test_train_reasoner_goes_on_from_its_last_whole_checkpoint(recipe, tmp_path):
    trained = "reasoner.model=null"
    undisturbed, run = RunFolder(tmp_path / "undisturbed"), RunFolder(tmp_path / "killed")
    finish(start("train-reasoner", recipe, undisturbed, trained))
    kill_when(start("train-reasoner", recipe, run, trained), lambda: checkpoint_in(run.reasoner_model))
    assert not run.reasoner_model.exists()
    assert "train-reasoner: continues from step" in finish(start("train-reasoner", recipe, run, trained))
    expected = (undisturbed.reasoner_model / WEIGHTS).read_bytes()
    assert (run.reasoner_model / WEIGHTS).read_bytes() == expected
    assert not checkpoint_in(run.reasoner_model)


def test_augment_goes_on_at_the_row_where_it_was(recipe, whole, tmp_path):
    run = RunFolder(tmp_path / "killed")
    for wanted in (8, 25):
        kill_when(start("augment", recipe, run), lambda wanted=wanted: rows_in(run) >= wanted)
    written = rows_in(run)
    assert 25 <= written < 60
    said = finish(start("augment", recipe, run))
    assert f"{written} of 60 rows were written before" in said
    assert json.loads(run.augment_metrics.read_text())["reused"] == written
    assert rows_in(run) == 60
    assert run.kept.read_bytes() == whole.kept.read_bytes()


@pytest.mark.slow
def test_augment_over_ray_goes_on_too_and_no_process_of_ray_outlives_it(recipe, whole, tmp_path):
    run = RunFolder(tmp_path / "killed")
    over_ray = [
        "augment.engine.distributed=ray",
        "augment.engine.workers=2",
        "augment.engine.rows_per_task=8",
    ]
    over_ray += ["augment.engine.cpus_per_worker=1", "augment.engine.gpus_per_worker=0"]
    for sign in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        process, children, wanted = start("augment", recipe, run, *over_ray), [], rows_in(run) + 8

        def reached(process=process, children=children, wanted=wanted) -> bool:
            children[:] = psutil.Process(process.pid).children(recursive=True)
            return rows_in(run) >= wanted

        kill_when(process, reached, sign)
        assert process.returncode == (-sign if sign == signal.SIGKILL else 130)
        assert children
        assert psutil.wait_procs(children, timeout=_PATIENCE_SECONDS)[1] == []
    written = rows_in(run)
    assert 24 <= written < 60
    said = finish(start("augment", recipe, run, FAST, *over_ray))
    assert f"{written} of 60 rows were written before" in said
    assert rows_in(run) == 60
    assert run.kept.read_bytes() == whole.kept.read_bytes()


def test_train_goes_on_from_its_last_whole_checkpoint(recipe, whole, tmp_path):
    run = RunFolder(shutil.copytree(whole.path, tmp_path / "killed"))
    shutil.rmtree(run.classifier_model)
    kill_when(start("train", recipe, run, FAST), lambda: checkpoint_in(run.classifier_model))
    assert not run.classifier_model.exists()
    said = finish(start("train", recipe, run, FAST))
    assert "train-baseline: nothing has changed, skipped" in said
    assert "train-classifier: continues from step" in said
    assert (run.classifier_model / WEIGHTS).read_bytes() == (whole.classifier_model / WEIGHTS).read_bytes()
    assert not checkpoint_in(run.classifier_model)


def test_a_polite_stop_says_so_and_loses_nothing(recipe, tmp_path):
    run = RunFolder(tmp_path / "stopped")
    for sign in (signal.SIGINT, signal.SIGTERM):
        before = rows_in(run)
        process = start("augment", recipe, run)
        until = time.monotonic() + _PATIENCE_SECONDS
        while rows_in(run) <= before and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(process.pid, sign)
        _, errors = process.communicate(timeout=_PATIENCE_SECONDS)
        assert process.returncode == 130, errors
        assert "continues where this one stopped" in errors
        assert "Traceback" not in errors
        assert rows_in(run) > before


def test_a_second_process_is_refused_by_name(recipe, tmp_path):
    run = RunFolder(tmp_path / "busy")
    with run.locked():
        process = start("augment", recipe, run)
        _, errors = process.communicate(timeout=_PATIENCE_SECONDS)
    assert process.returncode == 2
    assert f"pid {os.getpid()}" in errors
