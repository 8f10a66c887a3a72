"""`whylabel doctor` says what this machine has, and what would add to it."""

import json
import os
import signal

import pytest
from click.testing import CliRunner
from families import build

from whylabel.cli import diagnosis
from whylabel.cli.main import cli, main
from whylabel.engines import ENGINES
from whylabel.host.machine import hardware, user_name, versions
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
    for section in ("versions", "machine", "compute", "engines", "extras", "models", "base models", "hub"):
        assert f"\n{section}\n" in f"\n{outcome.output}"
    assert "no (" in outcome.output.partition("reachable")[2]


def test_larger_models_cost_more_in_proportion(monkeypatch):
    monkeypatch.setattr(
        "whylabel.pipeline.estimate.tokens_per_second", lambda size: (2.7e10 / size, 5.4e10 / size)
    )
    found = diagnosis.diagnose()["base models"]
    assert found["smollm2-135m-instruct"].endswith("about 200 tokens/s trained, 400 written")
    assert "1,236 M parameters, 18.4 GiB to train" in found["meta-llama/Llama-3.2-1B-Instruct"]
    assert found["meta-llama/Llama-3.2-1B-Instruct"].endswith("about 22 tokens/s trained, 44 written")


@pytest.fixture
def opt(tokenizer, tmp_path):
    build("OPT", len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_model_is_tried_out_where_one_is_named(opt, capsys):
    assert main(["doctor", str(opt)]) == 0
    model = capsys.readouterr().out.partition("\nversions\n")[0]
    assert "tree masks           yes" in model
    assert "packing              no: rows of packs are computed apart" in model
    assert "positions            512, no row may be longer" in model
    assert "openvino             models of type 'opt' are not supported" in model
    assert main(["doctor", str(opt), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"]["type"], found["model"]["shared prefix"]) == ("opt", "yes")


def test_a_model_is_loaded_only_where_one_is_named(monkeypatch):
    monkeypatch.setattr("whylabel.models.load.load", None)
    assert CliRunner().invoke(cli, ["doctor"]).exit_code == 0


def test_a_model_that_cannot_be_used_is_refused_as_a_run_does(opt, capsys):
    (opt / "model.safetensors").write_bytes(b"torn")
    assert main(["doctor", str(opt)]) == 2
    assert main(["doctor", "./nowhere"]) == 2
    assert "There is no model './nowhere'" in capsys.readouterr().err


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


def test_what_is_found_sends_no_control_characters_to_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", "garbage\x1b]0;x\x07")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "garbage\ufffd]0;x\ufffd" in out and not {"\x1b", "\x07"} & set(out)


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


def test_everything_that_is_found_is_shown_under_its_name(monkeypatch, tmp_path, capsys):
    import torch

    monkeypatch.setenv("WHYLABEL_CACHE", str(tmp_path))
    monkeypatch.setattr("whylabel.models.arithmetic.pick_device", lambda: torch.device("cpu"))
    monkeypatch.setattr("whylabel.models.arithmetic.cpu_has_bf16", lambda: True)
    monkeypatch.setattr("whylabel.models.arithmetic._bf16_speed", lambda: 1.64)
    monkeypatch.setattr(diagnosis, "installed_version", lambda name: None if name == "ray" else "1.0")
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    sections = ["versions", "machine", "compute", "engines", "extras", "models", "base models", "hub"]
    assert set(found) == set(sections)
    assert found["versions"] == versions() and found["machine"].keys() == hardware().keys()
    assert found["compute"] == {
        "device": "cpu",
        "training": "bfloat16 (this CPU computes bf16 1.6 times as fast; the weights stay float32)",
        "prediction": "float32 (on a CPU a row gets the same label in every batch)",
        "threads": torch.get_num_threads(),
    }
    assert set(ENGINES) <= set(found["engines"]) and found["engines"]["openvino"] == "installed"
    assert found["extras"] == {"openvino": "installed", "ray": "absent: pip install 'whylabel[ray]'"}
    name = "smollm2-135m-instruct"
    assert found["models"] == {
        "cache": str(tmp_path),
        name: f"not fetched: whylabel models pull {name}",
    }
    assert found["hub"]["endpoint"] == "http://127.0.0.1:9"
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == sections
    assert "  threads              " + str(torch.get_num_threads()) in lines
    assert f"  {'cache':<{len(name)}} {tmp_path}" in lines
    folder = tmp_path / "models" / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert diagnosis.diagnose()["models"][name] == str(folder)


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("https://hub.example", ("hub.example", 443)),
        ("http://hub.example/path", ("hub.example", 80)),
        ("https://hub.example:8443", ("hub.example", 8443)),
    ],
)
def test_the_hub_is_looked_for_where_its_address_says_and_not_for_long(monkeypatch, endpoint, address):
    asked = []

    def connect(*arguments, **named):
        asked.append((*arguments, named))
        return _Connection()

    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setattr(diagnosis.socket, "create_connection", connect)
    assert diagnosis._hub() == {"endpoint": endpoint, "reachable": "yes"}
    assert asked == [(address, {"timeout": 3.0})]


class _Connection:
    def close(self):
        """Do nothing."""
