"""Requests that schemathesis makes up from the description of the API of a server."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_COMMAND = Path(sys.executable).parent / "schemathesis"


def fuzz(server, examples, directory, *options, config=""):
    """Fail if a request fails, or a wrong one passes; return how many requests were made up."""
    if not (_COMMAND.exists() or shutil.which("schemathesis")):
        pytest.skip("schemathesis is not installed")
    settings = directory / "schemathesis.toml"
    settings.write_text(config)
    command = [_COMMAND, "--config-file", settings, "run", f"{server.url}/openapi.json", *options]
    command += ["--max-examples", str(examples), "--seed", "1", "--no-color"]
    # What a valid question may be depends on the labels of the model, which a description cannot say.
    command += ["--exclude-checks", "positive_data_acceptance", "--phases", "examples,coverage,fuzzing"]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)
    assert outcome.returncode == 0, outcome.stdout[-4000:]
    return int(re.search(r"([\d,]+) generated", outcome.stdout)[1].replace(",", ""))
