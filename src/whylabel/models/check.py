"""What can be said of a model from its files alone, before anything is loaded."""

from __future__ import annotations

import json
import math
from fnmatch import fnmatch
from pathlib import Path

from whylabel.errors import ModelError
from whylabel.host.atomic import folder_asides, is_aside
from whylabel.host.runtime import first_line
from whylabel.host.takeover import check_folder
from whylabel.models.load import CARD, find, read_card
from whylabel.models.refusals import (
    refuse_encoder,
    refuse_encoder_decoder,
    refuse_named_weights,
    refuse_own_code,
    refuse_part,
)
from whylabel.models.weights import stored_shapes, weight_files

_GGUF_MAGIC = b"GGUF"
# What transformers and whylabel write into a model folder.
_WRITTEN = (
    *("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "*.model", "chat_template.jinja", "chat_template.json"),
    *(CARD, "classes.json", "processor_config.json", "preprocessor_config.json"),
)


def check_model(name: str, setting: str, *, encoder: bool = False) -> None:
    """Raise `ModelError` if a model that a recipe's setting names cannot be used: its files are looked at, not read.

    A hub id is not looked up. `encoder`: whether an encoder is wanted, not a causal LM.
    """
    try:
        source = Path(find(name))
        if source.is_file():
            _check_gguf(source)
        elif source.is_dir():
            _check_folder(source, encoder=encoder)
    except ModelError as error:
        raise ModelError(error.what, where=f"{setting}: {name}", fix=error.fix) from None


def _check_gguf(file: Path) -> None:
    refuse_part(file)
    with file.open("rb") as content:
        if content.read(len(_GGUF_MAGIC)) != _GGUF_MAGIC:
            raise ModelError("This file is no GGUF file.", fix="name a folder, a GGUF file or a hub id")


def _check_folder(folder: Path, *, encoder: bool) -> None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"config.json cannot be read: {error}.", fix="copy the model again") from None
    if not isinstance(config, dict):
        raise ModelError("config.json holds no settings.", fix="copy the model again")
    refuse_own_code(config, str(folder))
    refuse_named_weights(config, str(folder))
    refuse_encoder_decoder(config, str(folder))
    if not encoder:
        refuse_encoder(config, str(folder))
    for file in weight_files(folder):
        _check_weight_file(file)


def _check_weight_file(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass  # opening compares the length of the file with what its header says
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{file.name} cannot be read: {first_line(error)}.", fix="copy or download it again"
        ) from None


def check_replaceable(folder: Path) -> None:
    """Raise `UsageError` if a folder holds anything but a model that whylabel has saved: saving replaces it whole.

    The same of the folders beside it through which it is saved; a model in them may be torn.
    """
    ours = (folder / CARD).is_file() and bool(read_card(folder))
    fix = "name a new or an empty folder, or move these away"
    check_folder(folder, lambda path: ours and _may_be_torn(path), wanted="A model", fix=fix)
    for aside in folder_asides(folder):
        check_folder(
            aside,
            lambda path: is_aside(path) or _is_of_a_model(path),
            wanted="A model that is being saved",
            fix=fix,
        )


def _is_of_a_model(path: Path) -> bool:
    return path.is_file() and any(fnmatch(path.name, pattern) for pattern in _WRITTEN)


def _may_be_torn(path: Path) -> bool:
    return _is_of_a_model(path) or is_aside(path)


def float32_bytes(name: str) -> int | None:
    """Return about how many bytes a model's folder takes in float32; None where its files are not here.

    `check_model` has found its files whole.
    """
    source = Path(find(name))
    if not source.is_dir():
        return None
    shapes = [shape for file in weight_files(source) for shape in stored_shapes(file).values()]
    return 4 * sum(map(math.prod, shapes))
