"""`whylabel doctor` says what this machine has, and what would add to it."""

import pytest
from click.testing import CliRunner

from whylabel.cli import diagnosis
from whylabel.cli.main import cli


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def test_every_section_is_shown():
    outcome = CliRunner().invoke(cli, ["doctor"])
    assert outcome.exit_code == 0, outcome.output
    for section in ("versions", "machine", "compute", "engines", "extras", "models", "hub"):
        assert f"\n{section}\n" in f"\n{outcome.output}"
    assert "no (" in outcome.output.partition("reachable")[2]


def test_an_engine_that_lacks_its_program_is_not_called_built_in(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert diagnosis.diagnose()["engines"]["vllm"].startswith("absent: pip install vllm")
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert diagnosis.diagnose()["engines"]["vllm"] == str(program)


def test_an_engine_that_lacks_its_packages_is_not_called_built_in(monkeypatch):
    monkeypatch.setattr(diagnosis, "installed_version", lambda name: None)
    engines = diagnosis.diagnose()["engines"]
    assert engines["openvino"] == "absent: pip install 'whylabel[openvino]'"
    assert engines["transformers"] == "built in"


def test_only_extras_that_add_something_are_named():
    assert set(diagnosis.diagnose()["extras"]) == {"openvino", "ray"}
