"""Whether a model was read whole: nothing missing, nothing left over, a token id for every row of the embedding."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.errors import ModelError
from whylabel.models.refusals import WEIGHTS_INDEX, refuse_other_weights

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# What old checkpoints hold and transformers computes by itself: frequencies, positions, causal masks.
_COMPUTED = re.compile(r"(^|\.)(inv_freq|position_ids|attn\.bias|attention\.bias|masked_bias)$")
# Heads for other tasks, beside a whole language model.
_OTHER_HEADS = re.compile(r"^(score|classifier|v_head|qa_outputs)\.")
_LAYER = re.compile(r"\.(\d+)\.")
_SHOWN = 3
_COPY_AGAIN = "copy or download the whole model again"
_LEAST_SHARE = 0.1
"""Weights that are packed (4 bits each, in bytes) are half as many numbers as parameters, or a quarter."""


def weight_files(folder: Path) -> list[Path]:
    """Return the files with the weights. Raises `ModelError` if there are none, or only some of them."""
    whole, index = folder / "model.safetensors", folder / WEIGHTS_INDEX
    if whole.is_file():
        return [whole]
    where = str(folder)
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            "The folder holds no weights (no *.safetensors).",
            where=where,
            fix="save the model with safe_serialization=True: other formats can run code, and are not read",
        )
    if not index.is_file():
        raise ModelError(
            f"The folder has neither {whole.name} nor {index.name}, which names the files that belong together.",
            where=where,
            fix=_COPY_AGAIN,
        )
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise ModelError(f"{index.name} cannot be read.", where=where, fix=_COPY_AGAIN) from None
    refuse_other_weights(content, where)
    named = set(content["weight_map"].values())
    missing = sorted(name for name in named if not (folder / name).is_file())
    if missing:
        raise ModelError(
            f"{len(missing)} of the {len(named)} files with its weights are missing: {', '.join(missing[:3])}.",
            where=where,
            fix=_COPY_AGAIN,
        )
    return [folder / name for name in sorted(named)]


def stored_shapes(file: Path) -> dict[str, list[int]]:
    """Return the shape of every tensor in a safetensors file; no weights are read."""
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as content:
        return {name: content.get_slice(name).get_shape() for name in content.keys()}  # noqa: SIM118


def check_size(config: PreTrainedConfig, files: Iterable[Path], source: str) -> None:
    """Raise `ModelError` if config.json describes a far larger model than the weights in `files` can be.

    Nothing of it is in memory yet: transformers would first make room for all of it, then miss its weights.
    """
    import torch
    from transformers import AutoModelForCausalLM

    shapes = {name: shape for file in files for name, shape in stored_shapes(file).items()}
    layers = 1 + max((int(number) for name in shapes for number in _LAYER.findall(name)), default=0)
    wanted = getattr(config.get_text_config(), "num_hidden_layers", layers)
    stored = sum(map(math.prod, shapes.values()))
    # A model of very many layers would be long in the making, even without memory for them.
    if layers >= _LEAST_SHARE * wanted:
        with torch.device("meta"):
            needed = AutoModelForCausalLM.from_config(config).num_parameters()
        if stored >= _LEAST_SHARE * needed:
            return
        what = f"a model of {needed:,} parameters, and the weights hold {stored:,} numbers"
    else:
        what = f"a model of {wanted:,} layers, and the weights are those of {layers:,}"
    raise ModelError(f"config.json describes {what}.", where=source, fix=_COPY_AGAIN)


def check_weights(found: Mapping[str, Any], source: str) -> None:
    """Raise `ModelError` if what transformers read is not exactly the weights that the model needs.

    `found` is what `from_pretrained` returns with `output_loading_info=True` and `ignore_mismatched_sizes=True`.
    Without this check, what is missing would be filled with random numbers. A head that is tied to the embedding is
    not missing.
    """
    missing = _that_matter(found["missing_keys"])
    if missing:
        raise ModelError(
            f"Weights are missing: {_names(missing)}. They would be filled with random numbers.",
            where=source,
            fix=_COPY_AGAIN,
        )
    shapes = {name: (tuple(there), tuple(needed)) for name, there, needed in found["mismatched_keys"]}
    if shapes:
        name, (there, needed) = min(shapes.items())
        raise ModelError(
            f"Weights do not fit config.json: {_names(shapes)}. The shape of {name} is {there}, {needed} is needed.",
            where=source,
            fix=_COPY_AGAIN,
        )
    unexpected = [name for name in _that_matter(found["unexpected_keys"]) if not _OTHER_HEADS.search(name)]
    if unexpected:
        raise ModelError(
            f"There are weights that the model of config.json has no place for: {_names(unexpected)}. It would "
            "compute without them.",
            where=source,
            fix=f"{_COPY_AGAIN}, with the config.json that belongs to it",
        )
    if found["error_msgs"]:
        raise ModelError(
            f"The weights cannot be read: {found['error_msgs'][0]}", where=source, fix=_COPY_AGAIN
        )


def check_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
    """Raise `ModelError` if the tokenizer has token ids that the embedding of the model has no row for.

    Control tokens do no harm there: Gemma's tokenizers have one for images, and no text becomes one.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    control = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    vocabulary = tokenizer.get_vocab().items()
    beyond = {token: place for token, place in vocabulary if place >= rows and place not in control}
    if beyond:
        token = min(beyond, key=lambda token: beyond[token])
        raise ModelError(
            f"The tokenizer does not belong to the model: it has {len(beyond)} tokens more than the embedding's "
            f"{rows} rows, the first is {token!r} ({beyond[token]}).",
            where=source,
            fix="copy the tokenizer that belongs to the model, or call resize_token_embeddings and save the model",
        )


def _that_matter(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not _COMPUTED.search(name))


def _names(names: Iterable[str]) -> str:
    found = sorted(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
