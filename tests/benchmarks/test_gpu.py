"""The benchmark of what a GPU is better at: every way is measured, on a CPU as well."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_every_way_is_measured(tiny_model_folder, tmp_path):
    output = tmp_path / "gpu.json"
    command = [
        sys.executable,
        str(BENCHMARKS / "gpu.py"),
        "--model",
        str(tiny_model_folder),
        "--device",
        "cpu",
    ]
    command += ["--rows", "8", "--steps", "2", "--batches", "4", "--output", str(output)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    found = json.loads(output.read_text())
    assert found["machine"]["cores"] >= 1
    assert set(found["training_tokens_per_second"]) == {"4 rows, padded", "4 rows, example by example"}
    assert set(found["generation_tokens_per_second"]) == {
        "static, 64 rows",
        "static, as many as fit",
        "continuous",
    }
    for part in ("training_tokens_per_second", "generation_tokens_per_second"):
        assert all(speed > 0 for speed in found[part].values())
    # The two ways to train were two ways.
    assert "rows of a batch are padded" not in outcome.stderr
