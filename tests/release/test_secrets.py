"""Keys and tokens of the environment are in nothing that is written, printed, or passed to another process."""

import json
import os
import sys
from pathlib import Path

import pytest

from fake_hub import fake_hub
from release.conftest import SECRETS
from whylabel.cli.main import main


def where_secrets_are(folder, secrets=SECRETS):
    """Return the files below a folder that hold a secret, in their content or their name."""
    values = [value.encode() for value in secrets.values()]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [
        str(path) for path in files if any(value in path.read_bytes() + os.fsencode(path) for value in values)
    ]


@pytest.fixture
def planted(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def test_the_search_finds_a_secret(tmp_path):
    (tmp_path / "log").write_text(f"key: {SECRETS['OPENAI_API_KEY']}")
    assert where_secrets_are(tmp_path) == [str(tmp_path / "log")]


def test_a_whole_run_keeps_its_secrets(finished_run):
    assert (finished_run.path.parent / "said.txt").stat().st_size > 0
    assert where_secrets_are(finished_run.path.parent) == []


def test_the_endpoint_gets_its_key(finished_run):
    keys = json.loads((finished_run.path.parent / "keys.json").read_text())
    assert set(keys) == {"Bearer (the key)"}


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_verbs_print_no_secret(finished_run, planted, tmp_path, monkeypatch, capsys, debug):
    monkeypatch.chdir(tmp_path)
    Path("texts.csv").write_text("text\nIt was a grey day\n")
    run = str(finished_run.path)
    main(["predict", "--model", run, "--input", "texts.csv", "--engine", "transformers", *debug])
    main(["reasonings", run, "--export", "rows.csv", *debug])
    main(["compare", run, "--html", "page.html", *debug])
    main(["run", "absent.yaml", *debug])
    main(["classify", "--url", "http://127.0.0.1:9", "--input", "texts.csv", *debug])
    Path("printed.txt").write_text("".join(capsys.readouterr()))
    assert where_secrets_are(tmp_path) == []


@pytest.mark.slow
def test_doctor_prints_no_secret(planted, tmp_path, capsys):
    main(["doctor"])
    main(["doctor", "--json", "--debug"])
    (tmp_path / "printed.txt").write_text("".join(capsys.readouterr()))
    assert where_secrets_are(tmp_path) == []


def test_a_hub_that_sends_the_token_back_does_not_get_it_printed(
    finished_run, planted, tmp_path, monkeypatch, capsys
):
    with fake_hub() as hub:
        hub.echoes = True
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        main(["push", str(finished_run.path), "me/model", "--debug"])
    (tmp_path / "printed.txt").write_text("".join(capsys.readouterr()))
    assert where_secrets_are(tmp_path) == []


_COMMANDS = []


def _audit(event, arguments):
    if event == "subprocess.Popen":
        _COMMANDS.append(" ".join(map(str, arguments[1])))


sys.addaudithook(_audit)


@pytest.mark.slow
def test_no_process_of_the_server_has_a_secret_in_its_command_line(finished_run, planted, tmp_path):
    import psutil

    from serving_servers import Server

    command = [
        sys.executable,
        "-m",
        "whylabel",
        "serve",
        str(finished_run.path),
        "--port",
        "0",
        "--engine",
        "transformers",
    ]
    server = Server(command)
    try:
        key = {"Authorization": f"Bearer {SECRETS['WHYLABEL_API_KEY']}"}
        server.client.post("/v1/classify", json={"texts": ["It was a grey day"]}, headers=key)
        server.client.post("/v1/classify", json={"texts": ["a"]}, headers={"Authorization": "Bearer wrong"})
        processes = psutil.Process(server.process.pid)
        lines = [" ".join(one.cmdline()) for one in (processes, *processes.children(recursive=True))]
    finally:
        server.process.terminate()
        server.process.wait()
    (tmp_path / "log.txt").write_text("\n".join([*lines, *server.said, *map(json.dumps, server.log)]))
    assert len(lines) > 1 and where_secrets_are(tmp_path) == []


def test_no_process_was_started_with_a_secret():
    assert not [line for line in _COMMANDS if any(value in line for value in SECRETS.values())]
