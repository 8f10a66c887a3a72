"""Whether a model can be trained as a recipe says: asked before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from whylabel.errors import ModelError
from whylabel.host.runtime import prepare_process
from whylabel.models.capabilities import POSITIONS, Capabilities, check_positions, positions_of
from whylabel.models.load import LoadedModel, find


def check_trainable(loaded: LoadedModel, max_length: int, section: str, *, writes: bool) -> Capabilities:
    """Return what the model can do with rows of up to `max_length` tokens, a field of the recipe's `section`.

    Raises `ModelError` if it looks ahead, has fewer positions, or if it `writes` and does so in no right way.
    """
    can = loaded.capabilities(max_length)
    check_positions(can.positions, {f"{section}.max_length": max_length}, loaded.name)
    if writes and not can.writes:
        raise ModelError(
            f"A model of type {loaded.model.config.model_type!r} writes other tokens than it predicts: what it keeps "
            "of earlier tokens while it writes is not right.",
            where=loaded.name,
            fix="train it without reasonings (classifier.target=label), or use another model (docs/models.md)",
        )
    return can


def check_lengths(name: str, lengths: Mapping[str, int]) -> None:
    """Raise `ModelError` if settings let rows be longer than the positions of a model; `lengths` are by setting.

    Only its settings are read. A hub id is not looked up; a GGUF file is not read.
    """
    folder = Path(find(name))
    if not (folder / "config.json").is_file():
        return
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    named = [settings[key] for key in POSITIONS if isinstance(settings.get(key), int)]
    if not named or max(lengths.values()) <= min(named):
        return  # without loading a library for it
    prepare_process()
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(config)
    except Exception:  # what cannot be made of the settings is reported when the model is loaded
        return
    check_positions(positions_of(skeleton), lengths, name)
