"""Hostile model folders times the verbs that load a model: no code of theirs runs, nothing is fetched."""

import signal
import subprocess
import sys

import pytest
import yaml

from release.hostile_folders import FOLDERS, GGUF_FILES
from release.outcomes import FIGURES, call

SHORT = (
    "pickle-in-index",
    "kernel-in-a-section",
    "template-that-escapes",
    "huge-header-beside",
    "shard-elsewhere",
)
"""Those of the short tier; `pytest -m slow` takes the others."""
SERVED_SECONDS = 120

_attempts = None


def _audit(event, arguments):
    if _attempts is None or event not in ("socket.connect", "socket.getaddrinfo"):
        return
    address = arguments[1] if event == "socket.connect" else arguments[0]
    host = address[0] if isinstance(address, tuple) else address
    if str(host) not in ("127.0.0.1", "::1", "localhost"):
        _attempts.append(f"{event} {host}")
        raise OSError("no network in this test")


sys.addaudithook(_audit)


@pytest.fixture
def attempts(monkeypatch):
    """A list of what was asked of the network, which is let through by the hub's library but not by this test."""
    global _attempts
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    _attempts = []
    yield _attempts
    _attempts = None


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def tiers(names, short=SHORT):
    return [pytest.param(name, marks=() if name in short else pytest.mark.slow) for name in names]


def verbs_of(folder, base, texts, recipe_values, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({**recipe_values, "augment": {"engine": "transformers"}}))
    data = recipe_values["data"]["source"]
    named = ["--limit", "4", "--output", "trained"]
    return {
        "predict": ["predict", "--model", str(folder), "--input", str(texts), "--engine", "transformers"],
        "evaluate --data": ["evaluate", str(folder), "--data", data, "--limit", "2"],
        "export": ["export", str(folder), "--format", "merged", "--output", "x", "--rows", str(texts)],
        "doctor": ["doctor", str(folder)],
        "run --dry-run": ["run", str(recipe), "--dry-run", f"base_model={base}"],
        "train-reasoner": ["train-reasoner", str(recipe), *named, f"reasoner.base_model={base}"],
        "augment": ["augment", str(recipe), *named, f"reasoner.model={base}"],
    }


@pytest.mark.parametrize("name", tiers([hostile.name for hostile in FOLDERS]))
def test_a_hostile_folder_does_no_harm(
    name, finished_run, tiny_model_folder, recipe_values, tmp_path, capsys, attempts
):
    (hostile,) = (hostile for hostile in FOLDERS if hostile.name == name)
    canary = tmp_path / "canary"
    folder = hostile.write(finished_run.classifier_model, tmp_path / "trained-model", canary)
    base = hostile.write(tiny_model_folder, tmp_path / "base-model", canary)
    texts = tmp_path / "texts.csv"
    texts.write_text("text\nIt was a grey day\n")
    faults = []
    for verb, arguments in verbs_of(folder, base, texts, recipe_values, tmp_path).items():
        outcome = call(arguments, capsys)
        FIGURES.add("hostile model folders", verb, outcome)
        found = outcome.faults(hostile.says or "", codes=(0, 2, 4), may_write=True)
        found += ["the canary"] if canary.exists() else []
        found += attempts if verb != "doctor" else []  # doctor says whether the hub can be reached
        faults += [f"{verb}: {'; '.join(found)}\n{outcome.output}"] if found else []
        canary.unlink(missing_ok=True)
        attempts.clear()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", tiers(GGUF_FILES, ("array-without-end", "tensors-without-end")))
def test_a_hostile_gguf_file_is_refused(name, tmp_path, capsys):
    file = tmp_path / "model.gguf"
    file.write_bytes(GGUF_FILES[name])
    outcome = call(["doctor", str(file)], capsys)
    FIGURES.add("hostile GGUF files", "doctor", outcome)
    assert not outcome.faults("model.gguf"), outcome.output


@pytest.mark.slow
@pytest.mark.parametrize("name", [hostile.name for hostile in FOLDERS])
def test_the_server_runs_no_code_of_a_hostile_folder(name, finished_run, tmp_path):
    (hostile,) = (hostile for hostile in FOLDERS if hostile.name == name)
    canary = tmp_path / "canary"
    folder = hostile.write(finished_run.classifier_model, tmp_path / "model", canary)
    command = [
        sys.executable,
        "-m",
        "whylabel",
        "serve",
        str(folder),
        "--port",
        "0",
        "--engine",
        "transformers",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        said = []
        signal.signal(signal.SIGALRM, lambda *_: server.kill())
        signal.alarm(SERVED_SECONDS)
        for line in server.stderr:
            said.append(line)
            if line.startswith("Serving "):
                server.terminate()
        signal.alarm(0)
    assert not canary.exists() and "Traceback" not in "".join(said)
