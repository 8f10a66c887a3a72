"""Requests that schemathesis makes up from the description of the API: none may fail, none that is wrong may pass."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_COMMAND = Path(sys.executable).parent / "schemathesis"


def fuzz(server, examples, directory):
    if not (_COMMAND.exists() or shutil.which("schemathesis")):
        pytest.skip("schemathesis is not installed")
    command = [_COMMAND, "run", f"{server.url}/openapi.json", "--max-examples", str(examples), "--seed", "1"]
    # What a valid question may be depends on the labels of the model, which a description cannot say.
    options = [
        "--exclude-checks",
        "positive_data_acceptance",
        "--phases",
        "examples,coverage,fuzzing",
        "--no-color",
    ]
    outcome = subprocess.run([*command, *options], capture_output=True, text=True, cwd=directory, check=False)
    assert outcome.returncode == 0, outcome.stdout[-4000:]
    return int(re.search(r"([\d,]+) generated", outcome.stdout)[1].replace(",", ""))


def test_made_up_requests(serve_fake, tmp_path):
    server = serve_fake(timeout=5.0)
    assert fuzz(server, 20, tmp_path) > 300
    assert not server.events("error")
    assert server.classify("x").status_code == 200


@pytest.mark.slow
def test_thousands_of_made_up_requests(serve_fake, tmp_path):
    server = serve_fake(timeout=5.0)
    assert fuzz(server, 400, tmp_path) > 2000
    assert not server.events("error")
