"""`accelerate launch -m whylabel`: the first process runs the stages, the others help it to train."""

import json
import subprocess
import sys

import pytest
import yaml

from whylabel.evaluation.predictions import read_predictions
from whylabel.run_folder import RunFolder

LAUNCH = [
    sys.executable,
    "-m",
    "accelerate.commands.launch",
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
]
# Accelerate starts several processes on CPUs only as if they were GPUs; the model says where it computes.
TWO = [*LAUNCH, "--num_processes", "2", "--dynamo_backend", "no", "--multi_gpu", "--main_process_port", "0"]


@pytest.fixture
def recipe(tiny_model_folder, tmp_path):
    values = {
        "base_model": str(tiny_model_folder),
        "data": {"train_rows": 40, "test_rows": 12, "validation_rows": 8},
        "reasoner": {"rows": 24, "validation_rows": 2, "training": {"optim": "sgd"}},
        "augment": {
            "engine": "scripted",
            "sampling": {"max_new_tokens": 8},
            "filters": {"names": ["empty"]},
        },
        "training": {
            "num_train_epochs": 2,
            "learning_rate": 1e-2,
            "optim": "sgd",
            "selection": {"steps": 3, "rows": 4},
        },
        "classifier": {"target": "dual", "max_reasoning_tokens": 8},
        "evaluation": {"bootstrap_samples": 200},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_two_processes_make_the_run_of_one(recipe, tmp_path):
    runs = []
    for name, launch, rows in (("one", [sys.executable], 8), ("two", TWO, 4)):
        run = RunFolder(tmp_path / name)
        command = [*launch, "-m", "whylabel", "run", str(recipe), "--output", str(run.path)]
        sizes = [f"{part}training.per_device_train_batch_size={rows}" for part in ("", "reasoner.")]
        ended = subprocess.run([*command, *sizes], capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr[-2000:]
        # One process speaks for both.
        assert ended.stderr.count("train-baseline: done") == 1
        assert not list(run.path.glob("**/start"))
        runs.append(run)
    for name in ("reasoner_metrics", "baseline_metrics", "classifier_metrics"):
        alone, both = (json.loads(getattr(run, name).read_text()) for run in runs)
        alone, both = alone.get("training", alone), both.get("training", both)
        assert both["steps"] == alone["steps"]
        assert both["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4)
        assert both["evaluations"] == alone["evaluations"]
    expected, found = (read_predictions(run.predictions) for run in runs)
    assert [row.prediction.label for row in found] == [row.prediction.label for row in expected]


def test_an_error_is_one_line_and_ends_them_all(recipe, tmp_path):
    command = [*TWO, "-m", "whylabel", "run", str(recipe), "--output", str(tmp_path / "run")]
    ended = subprocess.run(
        [*command, "augment.filters.names=[nonsense]"], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode != 0
    assert ended.stderr.count("Error: Unknown filter 'nonsense'") == 1
