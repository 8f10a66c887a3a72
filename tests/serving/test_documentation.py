"""The examples of docs/serving.md work as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHELL = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "127.0.0.1" in block]


def for_server(example, server):
    return example.replace("http://127.0.0.1:8000", server.url).replace('"quickstart"', '"tiny"')


@pytest.mark.parametrize("example", PYTHON)
def test_python(served, example, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    exec(for_server(example, served), {})


@pytest.mark.parametrize("example", SHELL)
def test_shell(served, example, tmp_path):
    (tmp_path / "texts.csv").write_text("text\nIt was a grey day\n")
    command = for_server(example, served).replace(
        "whylabel classify", f"{sys.executable} -m whylabel classify"
    )
    command = command.replace("curl -s", "curl -sf")
    outcome = subprocess.run(
        ["bash", "-ec", command], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    assert '"label"' in outcome.stdout or (tmp_path / "labelled.csv").exists()


def test_there_are_examples():
    assert len(PYTHON) == 3 and len(SHELL) == 3
