"""The benchmark of prediction: both verbs of one finished run, in one process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from trained_models import train_tiny
from whylabel.models.load import load, prepare_for_training, save
from whylabel.recipe import Recipe
from whylabel.run_folder import RunFolder

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "prediction.py"


def test_it_measures_both_verbs_of_a_run(tiny_model_folder, tmp_path):
    run = RunFolder(tmp_path / "run")
    train_tiny(tiny_model_folder, tmp_path / "trained", "dual")
    shutil.copytree(tmp_path / "trained" / "model", run.classifier_model)
    reasoner = load(str(tiny_model_folder), device="cpu")
    prepare_for_training(reasoner)
    run.reasoner_model.mkdir(parents=True)
    save(reasoner, run.reasoner_model, {"format": 1, "role": "reasoner", "prompt_style": "compact"})
    recipe = Recipe(name="t", device="cpu", prompt_style="compact")
    run.write_recipe(recipe.to_yaml())
    output = tmp_path / "prediction.json"
    command = [sys.executable, str(SCRIPT), str(run.path), "--rows", "5", "--rounds", "1"]
    command += ["--engine", "transformers", "--output", str(output)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert outcome.returncode == 0, outcome.stderr
    found = json.loads(output.read_text())
    assert found["work"] == {
        "rows": 5, "engine": "transformers", "predict_engine": "transformers", "labels": 4,
    }  # fmt: skip
    for verb in ("augment", "predict"):
        assert found[verb]["tokens_per_second"] > 0 and found[verb]["tokens_per_row"] >= 1
    assert found["ratio"] > 0 and 0 < found["predict"]["scoring_share"] < 1
    assert found["machine"]["cores"] > 0 and "torch" in found["machine"]
