"""The benchmark of generation: its JSON is as promised, its arithmetic right, its table the published one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_it_writes_the_contract(tiny_model_folder, tmp_path):
    output = tmp_path / "generation.json"
    command = [
        sys.executable,
        str(BENCHMARKS / "generation.py"),
        "--model",
        str(tiny_model_folder),
        "--peers",
    ]
    command += ["--rows", "2", "4", "--new-tokens", "5", "--rounds", "1", "--output", str(output)]
    environment = {**os.environ, "WHYLABEL_CACHE": str(tmp_path / "cache")}
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert outcome.returncode == 0, outcome.stderr
    found = json.loads(output.read_text())
    assert found["failed"] == found["absent"] == {}
    # The one in bfloat16 takes part where the CPU computes that clearly faster.
    assert set(found["engines"]) - {"whylabel bfloat16"} == {"whylabel", "whylabel-transformers"}
    assert found["machine"]["cores"] == found["work"]["threads"]
    assert found["work"]["rows"] == 4
    assert found["limit_tokens_per_second"] > found["engines"]["whylabel"]["tokens_per_second"] > 0
    assert found["engines"]["whylabel"]["rows_per_second"] > 0
    assert found["engines"]["whylabel"]["equal_rows"] == 4
    assert found["whole_verb_share"] > 0
    assert set(found["by_rows"]) == {"2", "4"}
    assert found["engines"] == found["by_rows"]["4"]["engines"]
    assert str(tmp_path) not in output.read_text() and "| whylabel |" in outcome.stdout


def test_the_flops_are_those_of_a_count_by_hand(benchmarks):
    from arithmetic import batch_flops
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=11,
        hidden_size=4,
        intermediate_size=6,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    prefix = list(range(1, 9)) * 2
    prompts = [[*prefix, 9], [*prefix, 10, 10]]
    # q and o are 4 x 4, k and v 4 x 2, the three of the MLP 4 x 6; two heads of size 2.
    linear, attended, head = 2 * (2 * 16 + 2 * 8 + 3 * 24), 4 * 2 * 2, 2 * 4 * 11
    # The prefix once; then one position of the prompt, or two, and two of the three new tokens.
    seen = sum(range(1, 17)) + sum(range(17, 20)) + sum(range(17, 21))
    expected = linear * (16 + 3 + 4) + attended * seen + head * 2 * 3
    assert batch_flops(LlamaForCausalLM(config), prompts, new_tokens=3) == expected


def test_the_published_table_is_that_of_the_figures(benchmarks):
    from generation import table

    found = json.loads((BENCHMARKS / "generation.json").read_text(encoding="utf-8"))
    assert table(found) in (BENCHMARKS / "README.md").read_text(encoding="utf-8")
