"""What identifies a model: the content of its weights, tokenizer and settings, not who saved it or when."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from whylabel.host.runtime import prepare_process
from whylabel.models.load import find, not_found

# Weights; settings; vocabularies and templates of tokenizers. Whatever else is in the folder (notes, logs,
# what whylabel says of the model) changes nothing that the model writes.
MODEL_FILES = (
    *("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"),
    *(
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "tekken.json",
    ),
    *("vocab.json", "vocab.txt", "merges.txt", "*.model", "*.jinja", "chat_template.json"),
)
"""Patterns of the files in a folder that are the model."""
# Settings in which transformers notes where a model came from, and the version that saved it.
_SETTINGS = frozenset({"config.json", "generation_config.json"})
_ORIGIN = frozenset({"transformers_version", "_name_or_path"})


def model_fingerprint(name: str) -> str:
    """Return a hash of a model's content (weights, settings, tokenizer), or hub id and commit.

    Equal weights have one fingerprint, whichever versions of libraries saved them. Raises `ModelError` if there is no
    such model.
    """
    source = Path(find(name))
    if not source.exists():
        return _hub_fingerprint(name)
    if source.is_file():
        files = [source]
    else:
        files = sorted({file for pattern in MODEL_FILES for file in source.glob(pattern) if file.is_file()})
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + _content(file))
    return digest.hexdigest()


def _content(file: Path) -> bytes:
    if file.name in _SETTINGS:
        try:
            return hashlib.sha256(_plain(json.loads(file.read_bytes())).encode()).digest()
        except (ValueError, RecursionError):
            pass  # not ours to judge: what cannot be read as JSON counts byte by byte
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _plain(settings: Any) -> str:
    """Return settings as text, however they were indented and ordered, without their origin."""
    if isinstance(settings, dict):
        settings = {name: value for name, value in settings.items() if name not in _ORIGIN}
    return json.dumps(settings, sort_keys=True)


def _hub_fingerprint(name: str) -> str:
    prepare_process()
    from huggingface_hub import model_info
    from transformers.utils import cached_file

    try:
        return f"{name}@{model_info(name).sha}"
    except Exception:  # a border: the hub's own errors, and those of its HTTP client, which are no OSErrors
        # Offline: the commit is in the path of the cached file.
        try:
            config = cached_file(name, "config.json", local_files_only=True)
        except OSError as error:
            raise not_found(name, error) from error
        return f"{name}@{Path(config).parent.name}"
