"""A model on the Hugging Face hub: what is published of it, and how."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from whylabel.errors import RunFolderError, UsageError
from whylabel.host.progress import say
from whylabel.host.runtime import first_line, hub_endpoint, prepare_process
from whylabel.models.fingerprint import MODEL_FILES
from whylabel.models.load import CARD, read_card
from whylabel.prediction.card import ModelCard
from whylabel.prediction.trained import model_folder
from whylabel.report.contents import RunContents, read_run
from whylabel.report.front_matter import base_model, data_source
from whylabel.report.model_card import render_model_card
from whylabel.run_folder import RunFolder

TOKEN = "HF_TOKEN"
"""The environment variable with the token; no other place is looked at."""
_README = "README.md"
_PUBLISHED = (*MODEL_FILES, CARD, "classes.json")
"""Patterns of the files of a model folder that are published: weights, settings, tokenizer, labels; nothing else."""
_OF_THE_HUB = (".gitattributes", _README)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]{0,95}")
_MIB = 2**20


def push(path: str | Path, repository: str, *, public: bool = False) -> str:
    """Publish a run's classifier, or a model folder, and return its address on the hub.

    The repository is made if it does not exist, private unless `public`. Files of another version of a model are
    replaced. Raises `UsageError` if there is no token, the hub refuses, or the repository is public without `public`
    or holds other things; `ModelError` if the path holds no classifier; `RunFolderError` if its figures are not those
    of this model.
    """
    if not _NAME.fullmatch(repository):
        raise UsageError(
            f"{repository!r} is not of the form owner/name.", fix="name your user or organisation first"
        )
    hub_endpoint()
    token = os.environ.get(TOKEN)
    if not token:
        raise UsageError(
            "There is no token to publish with.",
            where=f"the environment variable {TOKEN}",
            fix=f"make one with write access at https://huggingface.co/settings/tokens, and set {TOKEN} to it",
        )
    files = published_files(path, repository)
    prepare_process()
    with _as_usage_error(repository, token):
        return _upload(files, repository, token, public=public)


def published_files(path: str | Path, repository: str | None = None) -> dict[str, Path | bytes]:
    """Return what is published of a run's classifier, or of a model folder: a file, or its content, by name.

    The card and `whylabel.json` name no paths of this machine. Raises what `push` raises of the path.
    """
    folder = model_folder(path)
    card = read_card(folder)
    ModelCard.from_json(card, folder)
    files: dict[str, Path | bytes] = {
        file.name: file
        for file in sorted(folder.iterdir())
        if file.is_file() and any(fnmatch(file.name, pattern) for pattern in _PUBLISHED)
    }
    for name, file in files.items():
        if isinstance(file, Path) and not file.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"{name} is a link to a file elsewhere, which would be published.",
                where=str(folder),
                fix="put a copy in its place, or remove it",
            )
    text = render_model_card(_contents(folder, card), repository=repository)
    public = {**card, "lineage": _public(card["lineage"])}
    return {
        **files,
        CARD: json.dumps(public, ensure_ascii=False, indent=2).encode(),
        _README: text.encode(),
    }


def _contents(folder: Path, card: dict[str, Any]) -> RunContents:
    """Return what the card says of a model: that of its run if it is a run's classifier, else what the model says."""
    run = RunFolder(folder.parent.parent)
    if run.manifest.is_file() and run.classifier_model.resolve() == folder.resolve():
        _check_figures(run)
        return read_run(run)
    lineage, task = card["lineage"], card["task"]
    recipe = {
        "task": {**task, "labels": card["labels"]},
        "classifier": {"target": card["target"]},
        "base_model": lineage.get("base_model"),
        "data": {"source": (lineage.get("data") or {}).get("source")},
    }
    manifest = {key: lineage[key] for key in ("versions", "seed", "data") if key in lineage}
    manifest["base_model"] = {
        "name": lineage.get("base_model"),
        "fingerprint": lineage.get("base_model_fingerprint"),
    }
    return RunContents.of_model(folder.resolve().name, recipe, manifest)


def _check_figures(run: RunFolder) -> None:
    """Raise `RunFolderError` if the run was evaluated, but with another classifier than this one."""
    evaluated = (run.stage("evaluate").get("decided_by") or {}).get("classifier")
    if evaluated is not None and evaluated != run.stage("calibrate-classifier").get("content"):
        raise RunFolderError(
            "This classifier is not the one that was evaluated, so its card would have wrong figures.",
            where=str(run.path),
            fix="evaluate it first: whylabel evaluate RECIPE",
        )


def _public(lineage: dict[str, Any]) -> dict[str, Any]:
    """Return the lineage with the names of local files and folders instead of their paths."""
    public = dict(lineage)
    if "base_model" in lineage:
        public["base_model"] = base_model(lineage, lineage.get("base_model_fingerprint"))
    if isinstance(data := lineage.get("data"), dict):
        # What was inferred of the data may name other files.
        known = {key: value for key, value in data.items() if key != "inferred"}
        public["data"] = {**known, "source": data_source({"data": data})}
    return public


def _upload(files: dict[str, Path | bytes], repository: str, token: str, *, public: bool) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    hub = HfApi(endpoint=hub_endpoint(), token=token)
    url = hub.create_repo(repository, private=not public, exist_ok=True)
    there = hub.model_info(repository)
    if not there.private and not public:
        raise UsageError(
            "The repository is public: everybody would see this model.",
            where=repository,
            fix="add --public, or name another repository",
        )
    if there.private and public:
        say(f"  {repository} stays private: make it public in its settings")
    old = [file.rfilename for file in there.siblings or () if file.rfilename not in _OF_THE_HUB]
    foreign = [name for name in old if not any(fnmatch(name, pattern) for pattern in _PUBLISHED)]
    if foreign or (old and CARD not in old):
        raise UsageError(
            f"The repository holds other things than a model of whylabel: {(foreign or old)[0]!r}.",
            where=repository,
            fix="name a new repository",
        )
    size = sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values())
    say(f"pushing {len(files)} files, {size / _MIB:,.1f} MiB, to {repository}: {', '.join(sorted(files))}")
    additions = [CommitOperationAdd(name, file) for name, file in sorted(files.items())]
    gone = [CommitOperationDelete(name) for name in old if name not in files]
    with _progress():
        hub.create_commit(repository, [*additions, *gone], commit_message="A model trained with whylabel")
    return str(url)


@contextmanager
def _progress() -> Iterator[None]:
    """Show the hub's own bars while files are sent."""
    import huggingface_hub.utils

    hub: Any = huggingface_hub.utils
    hidden = hub.are_progress_bars_disabled()
    if hidden and not os.environ.get("TQDM_DISABLE"):
        hub.enable_progress_bars()
    try:
        yield
    finally:
        if hidden:
            hub.disable_progress_bars()


@contextmanager
def _as_usage_error(repository: str, token: str) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # a border: the hub's own errors, and those of its HTTP client
        status = getattr(getattr(error, "response", None), "status_code", None)
        # What a server or a proxy sends back may hold what it was sent.
        reason = first_line(error).replace(token, "***").rstrip(".")
        raise UsageError(
            f"The hub did not take the model: {reason}.", where=repository, fix=_fix(status)
        ) from None


def _fix(status: int | None) -> str:
    if status == 401:
        return f"set {TOKEN} to a token that is valid, with write access"
    if status == 403:
        return f"name your own user or organisation as the owner, and give the token in {TOKEN} write access to it"
    return "check the network and HF_ENDPOINT (and HF_HUB_OFFLINE), and push again: what was sent is not sent twice"
