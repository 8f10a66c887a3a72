"""`whylabel doctor` says what this machine has, and what would add to it."""

import os
import signal

import pytest
from click.testing import CliRunner

from whylabel.cli import diagnosis
from whylabel.cli.main import cli, main
from whylabel.host.machine import user_name
from whylabel.models.packaged import cache_folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    # `main` takes SIGTERM over; the test process gets it back.
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


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


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("http://x:99999", "Port out of range"),
        ("http://x:abc", "Port could not be cast"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("garbage", "it is not an http or https URL"),
        ("http://a..b", "idna"),
    ],
)
def test_an_impossible_address_of_the_hub_is_shown_as_such(monkeypatch, endpoint, reason):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    found = diagnosis.diagnose()["hub"]
    assert found["endpoint"] == endpoint
    assert found["reachable"].startswith("no (") and reason in found["reachable"]


@pytest.fixture
def nobody(monkeypatch):
    """A user whom the system does not know, as in a container."""
    pwd = pytest.importorskip("pwd")

    def unknown(_):
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "WHYLABEL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("home", [None, ""])
def test_a_user_without_a_home_is_told_what_to_name(nobody, monkeypatch, tmp_path, home, capsys):
    if home is not None:
        monkeypatch.setenv("HOME", home)
    assert diagnosis.diagnose()["models"]["cache"].startswith("none: This user has no home folder.")
    monkeypatch.chdir(tmp_path)
    for arguments, code in (
        (["models", "list"], 0),
        (["inspect", "builtin:emotions"], 0),
        (["init", "builtin:emotions"], 0),
        (["inspect", "~/x.csv"], 2),
        (["models", "pull", "smollm2-135m-instruct"], 2),
    ):
        assert main(arguments) == code
    assert "fix: name a cache folder in WHYLABEL_CACHE" in capsys.readouterr().err
    monkeypatch.setenv("WHYLABEL_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"


def test_a_user_without_a_name_has_a_number(nobody):
    assert user_name() == f"user {os.getuid()}"
