"""The benchmark of training: its JSON is as promised, its table the published one."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_it_writes_the_contract(tiny_model_folder, tmp_path):
    output = tmp_path / "training.json"
    command = [sys.executable, str(BENCHMARKS / "training.py"), "--model", str(tiny_model_folder), "--peers"]
    command += ["--rows", "12", "--lengths", "60", "200", "--tokens-per-step", "400", "--rounds", "1"]
    outcome = subprocess.run([*command, "--output", str(output)], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    found = json.loads(output.read_text())
    assert found["failed"] == found["absent"] == {}
    assert "whylabel" in found["engines"]
    assert set(found["by_length"]) == {"60", "200"}
    assert found["engines"] == found["by_length"]["200"]["engines"]
    assert found["engines"]["whylabel"]["tokens_per_second"] > 0
    assert found["limit_tokens_per_second"] > 0
    assert found["work"]["largest_loss_difference"] < 1e-4
    assert found["work"]["device"] == "cpu"
    assert "| whylabel |" in outcome.stdout


def test_the_published_table_is_the_published_json():
    command = [sys.executable, str(BENCHMARKS / "training.py"), "--table", str(BENCHMARKS / "training.json")]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert table in (BENCHMARKS / "README.md").read_text(encoding="utf-8")
