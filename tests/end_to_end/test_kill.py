"""A stage is killed with no warning; the same command then ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from whylabel.run_folder import RunFolder
from whylabel.store import open_store

_PATIENCE_SECONDS = 120


@pytest.fixture
def recipe(tiny_model_folder, tmp_path) -> Path:
    path = tmp_path / "recipe.yaml"
    values = {
        "base_model": str(tiny_model_folder),
        "data": {"train_rows": 60, "test_rows": 12, "validation_rows": 6},
        "reasoner": {"model": str(tiny_model_folder)},
        "augment": {"engine": "scripted", "engine_options": {"delay_seconds": 0.05}},
        "training": {"per_device_train_batch_size": 2, "save_steps": 10},
        "evaluation": {"bootstrap_samples": 200},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def start(recipe: Path, run: RunFolder, *overrides: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "whylabel", "run", str(recipe), "--output", str(run.path), *overrides]
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


def test_augment_goes_on_at_the_row_where_it_was(recipe, tmp_path):
    whole = RunFolder(tmp_path / "whole")
    finish(start(recipe, whole, "augment.engine_options.delay_seconds=0"))

    run = RunFolder(tmp_path / "killed")
    for wanted in (8, 25):
        kill_when(start(recipe, run), lambda wanted=wanted: rows_in(run) >= wanted)
    written = rows_in(run)
    assert 25 <= written < 60
    said = finish(start(recipe, run))
    assert f"{written} of 60 rows were written before" in said
    assert json.loads(run.augment_metrics.read_text())["reused"] == written
    assert rows_in(run) == 60
    assert run.kept.read_bytes() == whole.kept.read_bytes()


def test_train_goes_on_from_its_last_whole_checkpoint(recipe, tmp_path):
    fast = "augment.engine_options.delay_seconds=0"
    whole = RunFolder(tmp_path / "whole")
    finish(start(recipe, whole, fast))

    run = RunFolder(tmp_path / "killed")
    checkpoints = run.path / "classifier" / "checkpoints"
    kill_when(start(recipe, run, fast), lambda: list(checkpoints.glob("*/checkpoint-*/complete.json")))
    assert not run.classifier_model.exists()
    said = finish(start(recipe, run, fast))
    assert "train-baseline: nothing has changed, skipped" in said
    assert "train-classifier: goes on from step" in said
    weights = "model.safetensors"
    assert (run.classifier_model / weights).read_bytes() == (whole.classifier_model / weights).read_bytes()
    assert not checkpoints.exists()


def test_a_polite_stop_says_so_and_loses_nothing(recipe, tmp_path):
    run = RunFolder(tmp_path / "stopped")
    for sign in (signal.SIGINT, signal.SIGTERM):
        process = start(recipe, run)
        before = rows_in(run)
        until = time.monotonic() + _PATIENCE_SECONDS
        while rows_in(run) <= before and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(process.pid, sign)
        _, errors = process.communicate(timeout=_PATIENCE_SECONDS)
        assert process.returncode == 130, errors
        assert "goes on where this one stopped" in errors
        assert "Traceback" not in errors
        assert rows_in(run) > before


def test_a_second_process_is_refused_by_name(recipe, tmp_path):
    run = RunFolder(tmp_path / "busy")
    with run.locked():
        process = start(recipe, run)
        _, errors = process.communicate(timeout=_PATIENCE_SECONDS)
    assert process.returncode == 2
    assert f"pid {os.getpid()}" in errors
