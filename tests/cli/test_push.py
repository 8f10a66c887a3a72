"""Pushing a model to a hub of the tests, over HTTP."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard as HubCard
from huggingface_hub import constants

from fake_hub import TOKEN, Repository, fake_hub
from finished_run import write_run
from whylabel.cli.main import main
from whylabel.evaluation.quality import share_of
from whylabel.evaluation.readings import ReaderRate
from whylabel.models.load import load, save
from whylabel.prediction.card import ModelCard
from whylabel.prediction.trained import TrainedClassifier
from whylabel.report.model_card import write_model_card
from whylabel.text.labels import LabelSet

SECRET_PLACE = "/home/somebody/secret/models"
PUBLISHED = {
    "README.md",
    "whylabel.json",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
}


@pytest.fixture(scope="module")
def trained(tiny_model_folder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "model"
    card = ModelCard(
        labels=LabelSet(("joy", "sad")),
        target="dual",
        question="Which?",
        name="Mood",
        prompt_style="compact",
        max_text_tokens=64,
        max_reasoning_tokens=16,
        lineage={
            "base_model": f"{SECRET_PLACE}/llama",
            "data": {
                "source": f"{SECRET_PLACE}/tickets.csv",
                "rows": {"train": 24},
                "inferred": {"splits_replaced": f"test by data.test: {SECRET_PLACE}/secret.csv"},
            },
            "seed": 1,
        },
        modes=("fast", "reasoned"),
    )
    save(load(str(tiny_model_folder), device="cpu"), folder, card.to_json())
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A finished run with the model, and everything beside it that is nobody else's business."""
    run = write_run(tmp_path / "runs" / "tickets")
    shutil.copytree(trained, run.classifier_model)
    for foreign in ("training_args.bin", "optimizer.pt", "notes.txt", "texts.jsonl", "train.parquet"):
        (run.classifier_model / foreign).write_text("private")
    (run.classifier_model / "checkpoints").mkdir()
    (run.classifier_model / "checkpoints" / "best.safetensors").write_text("private")
    return run


@pytest.fixture
def hub():
    with fake_hub() as hub:
        yield hub


@pytest.fixture
def push(hub, monkeypatch, capsys):
    """The verb with a hub of its own; what it returns has the fields of a finished process."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # The storage of the hub's own protocol, Xet, cannot be faked: files go the older way, Git LFS.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        code = main(["push", *map(str, arguments)])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return run


def test_a_run_is_published_without_anything_else(hub, push, run, tmp_path):
    done = push(run.path, "me/tickets")
    assert (done.returncode, done.stdout) == (0, f"{hub.url}/me/tickets\n"), done.stderr
    repository = hub.repositories["me/tickets"]
    assert set(repository.files) == PUBLISHED and repository.private
    everything = b"".join(repository.files.values())
    assert SECRET_PLACE.encode() not in everything and b"private" not in everything
    head = HubCard(repository.files["README.md"].decode(), ignore_metadata_errors=False)
    assert head.data.eval_results and head.data.license == "apache-2.0"
    assert "hf download me/tickets --local-dir tickets" in head.text
    assert "whylabel predict --model tickets <" in head.text
    assert TOKEN not in done.stdout + done.stderr
    assert set(hub.tokens) == {f"Bearer {TOKEN}"}
    # What comes back answers as what was pushed.
    back = tmp_path / "back"
    back.mkdir()
    for name, content in repository.files.items():
        (back / name).write_bytes(content)
    rows = [("1", "It was a bright day"), ("2", "It was a black day")]
    mine, theirs = (
        list(TrainedClassifier.from_folder(folder, device="cpu").predict(rows)) for folder in (run.path, back)
    )
    assert [replace(one, seconds=0) for one in mine] == [replace(one, seconds=0) for one in theirs]


def test_neither_readers_names_nor_relative_paths_travel(hub, push, run, monkeypatch):
    card = json.loads((run.classifier_model / "whylabel.json").read_text())
    lineage = {**card["lineage"], "base_model": "secret/llama", "base_model_fingerprint": "0f" * 32}
    (run.classifier_model / "whylabel.json").write_text(json.dumps({**card, "lineage": lineage}))
    run.write_recipe("base_model: secret/llama\n")
    run.update_manifest(base_model={"name": "secret/llama", "fingerprint": "0f" * 32})
    rate = ReaderRate("Ada Lovelace", "reasoned", share_of(40, 50), 50)
    monkeypatch.setattr("whylabel.report.contents._readers", lambda *_: (rate, replace(rate, by="Bo")))
    assert "Ada Lovelace read 50 of the" in write_model_card(run).read_text(encoding="utf-8")
    assert push(run.path, "me/tickets").returncode == 0
    files = hub.repositories["me/tickets"].files
    text = files["README.md"].decode()
    assert "Reader 1 read 50 of the reasonings" in text and "Reader 2 read 50" in text
    everything = b"".join(files.values())
    assert b"Lovelace" not in everything and b"secret" not in everything and b"llama" in everything


def test_a_link_in_a_model_folder_publishes_no_file_elsewhere(hub, push, run, tmp_path):
    (tmp_path / "id_rsa").write_text("a private key")
    (run.classifier_model / "vocab.txt").symlink_to(tmp_path / "id_rsa")
    done = push(run.path, "me/tickets")
    assert (done.returncode, done.stdout) == (2, "") and hub.repositories == {}
    assert "vocab.txt is a link to a file elsewhere" in done.stderr


def test_a_model_outside_a_run_has_a_card_without_figures(hub, push, trained):
    done = push(trained, "me/alone", "--public")
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["me/alone"]
    assert not repository.private
    text = repository.files["README.md"].decode()
    assert HubCard(text).data.eval_results is None
    assert "No figures of this model are recorded here." in text
    assert "tickets.csv (24 train texts)" in text and "joy, sad" in text


def test_a_new_version_replaces_the_old_one(hub, push, run):
    old = {"whylabel.json": b"{}", "model-00001-of-00002.safetensors": b"old", ".gitattributes": b"x"}
    hub.repositories["me/tickets"] = Repository(True, dict(old))
    assert push(run.path, "me/tickets").returncode == 0
    assert set(hub.repositories["me/tickets"].files) == PUBLISHED | {".gitattributes"}


@pytest.mark.parametrize(
    ("repository", "holds", "said", "fix"),
    [
        ("me/open", Repository(False), "everybody would see", "--public"),
        ("me/other", Repository(True, {"pytorch_model.bin": b"x"}), "'pytorch_model.bin'", "new repository"),
        ("me/llama", Repository(True, {"config.json": b"x"}), "'config.json'", "new repository"),
        ("nobody/tickets", None, "rights to create a model", "your own user"),
        ("tickets", None, "not of the form owner/name", "organisation"),
    ],
)
def test_nothing_is_sent_where_it_does_not_belong(hub, push, run, repository, holds, said, fix):
    if holds is not None:
        hub.repositories[repository] = holds
    before = dict(holds.files) if holds else {}
    done = push(run.path, repository)
    assert done.returncode == 2 and said in done.stderr and fix in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and TOKEN not in done.stderr
    assert not hub.blobs
    if holds is not None:
        assert holds.files == before


def test_without_a_token_nothing_is_asked(hub, push, run, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    done = push(run.path, "me/tickets")
    assert done.returncode == 2 and "HF_TOKEN" in done.stderr
    assert not hub.paths


def test_a_refused_token_is_not_printed(hub, push, run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    hub.echoes = True
    done = push(run.path, "me/tickets")
    assert done.returncode == 2 and "set HF_TOKEN to a token that is valid" in done.stderr
    assert "hf_wrong" not in done.stderr + done.stdout


def test_figures_of_another_classifier_are_not_published(hub, push, run):
    stages = run.read_manifest()["stages"]
    stages["evaluate"]["decided_by"] = {"classifier": "before"}
    stages["calibrate-classifier"]["content"] = "after"
    run.update_manifest(stages=stages)
    done = push(run.path, "me/tickets")
    assert done.returncode == 2 and "not the one that was evaluated" in done.stderr
    assert not hub.repositories
    stages["evaluate"]["decided_by"] = {"classifier": "after"}
    run.update_manifest(stages=stages)
    assert push(run.path, "me/tickets").returncode == 0


def test_what_is_no_classifier_or_no_network_is_one_clear_error(
    hub, push, run, tmp_path, tiny_model_folder, monkeypatch
):
    for path, said in ((tmp_path / "none", "no model folder"), (tiny_model_folder, "whylabel.json")):
        done = push(path, "me/tickets")
        assert done.returncode == 2 and said in done.stderr, done.stderr
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = push(run.path, "me/tickets")
    assert done.returncode == 2 and "HF_HUB_OFFLINE" in done.stderr and "Traceback" not in done.stderr
    assert not hub.repositories
