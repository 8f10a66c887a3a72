"""Kinds of models that are refused by name, from their settings alone, and what to use instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

ADAPTER = "adapter_config.json"
USE_A_DECODER = (
    "use a decoder-only language model: Llama, SmolLM, Qwen, Gemma, Phi, Mistral ... (docs/models.md)"
)

_FORBIDDEN_KEYS = ("auto_map", "_attn_implementation_internal", "_experts_implementation_internal")
"""Settings of a model that would run code of its own."""
_KERNEL_KEYS = ("attn_implementation", "experts_implementation", "_attn_implementation")
"""Settings that would do so where they name a repository of the hub (`owner/kernel`)."""
WEIGHTS_INDEX = "model.safetensors.index.json"
_SUFFIX = ".safetensors"
_PART = re.compile(r"-(\d+)-of-(\d+)\.gguf", re.IGNORECASE)


def refuse_own_code(config: Mapping[str, Any], source: str) -> None:
    """Raise `ModelError` if a model's config, or a section of it, names code that the model brings itself."""
    found = list(dict.fromkeys(_code_settings(config)))
    if found:
        raise ModelError(
            f"The model's config holds {', '.join(found)}: models with their own code are refused.",
            where=source,
            fix="use a model of an architecture that transformers knows",
        )


def _code_settings(settings: object) -> Iterator[str]:
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key in _FORBIDDEN_KEYS or (key in _KERNEL_KEYS and "/" in str(value)):
                yield key
            yield from _code_settings(value)


def refuse_other_weights(index: object, source: str) -> None:
    """Raise `ModelError` if an index of weights names anything but safetensors files beside it.

    `index` is the content of `model.safetensors.index.json`: transformers would read a pickle that it names, and
    files of other folders.
    """
    try:
        named = sorted(set(index["weight_map"].values()))  # type: ignore[index]
        others = [name for name in named if Path(name).name != name or not name.endswith(_SUFFIX)]
    except (KeyError, TypeError, AttributeError):
        raise ModelError(
            f"{WEIGHTS_INDEX} does not say which file holds which weights.",
            where=source,
            fix="copy or download the whole model again",
        ) from None
    if others:
        raise ModelError(
            f"{WEIGHTS_INDEX} names {others[0]!r}: weights are read from safetensors files beside it alone.",
            where=source,
            fix="copy all files into one folder, or save the model again with safe_serialization=True",
        )


def refuse_named_weights(config: Mapping[str, Any], source: str) -> None:
    """Raise `ModelError` if a model's config names the file of its weights: transformers would read a pickle, too."""
    name = config.get("transformers_weights")
    if name is not None and (
        not isinstance(name, str) or Path(name).name != name or not name.endswith(_SUFFIX)
    ):
        raise ModelError(
            f"config.json names {name!r} (transformers_weights): weights are read from safetensors files alone.",
            where=source,
            fix="save the model again with safe_serialization=True",
        )


def refuse_encoder_decoder(config: Mapping[str, Any], source: str) -> None:
    """Raise `ModelError` if a model reads its input with an encoder, as T5 and BART do."""
    if config.get("is_encoder_decoder"):
        raise ModelError(
            f"A model of type {config.get('model_type')!r} has an encoder and a decoder, which is not supported.",
            where=source,
            fix=USE_A_DECODER,
        )


def refuse_encoder(config: Mapping[str, Any], source: str) -> None:
    """Raise `ModelError` if a model says that it fills in masked words, as BERT does.

    One that does not say so is found before it is trained: later tokens change what follows earlier ones.
    """
    named = config.get("architectures")
    kinds = (
        [str(kind) for kind in named if str(kind).endswith("ForMaskedLM")] if isinstance(named, list) else []
    )
    if kinds and not config.get("is_decoder"):
        raise ModelError(
            f"The model is an encoder ({kinds[0]}): it looks ahead, so it cannot learn to write.",
            where=source,
            fix=USE_A_DECODER,
        )


def refuse_adapter(settings: Path, source: str) -> None:
    """Raise `ModelError` for a model that is an adapter: `settings` is its adapter_config.json.

    It holds changes to the weights of another model only.
    """
    base = "its base model"
    with suppress(OSError, ValueError, KeyError, TypeError):  # it need not say which model it belongs to
        base = json.loads(settings.read_text(encoding="utf-8"))["base_model_name_or_path"]
    raise ModelError(
        f"This is an adapter ({ADAPTER}), not a model: it changes the weights of {base}.",
        where=source,
        fix=f'merge it into its base model: python -c "from peft import AutoPeftModelForCausalLM as Model; '
        f"Model.from_pretrained('{source}').merge_and_unload().save_pretrained('merged')\", copy the tokenizer's "
        "files beside it, and name the folder merged",
    )


def refuse_other_kinds(config: PreTrainedConfig, source: str) -> None:
    """Raise `ModelError` if transformers knows no language model with such a config that writes text."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    refuse_encoder_decoder({**config.to_dict(), "model_type": config.model_type}, source)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(
            f"A model of type {config.model_type!r} does not write text: transformers has no causal language "
            "model of this type.",
            where=source,
            fix=USE_A_DECODER,
        )


def refuse_part(file: Path, parts: int | None = None) -> None:
    """Raise `ModelError` for one part of a split GGUF file; `parts` is the number that its header gives, if known."""
    name = _PART.search(file.name)
    if name is None and (parts or 1) == 1:
        return
    parts = parts or int(name[2] if name else 0)
    if parts == 1:
        return
    first = _PART.sub(f"-00001-of-{parts:05}.gguf", file.name)
    whole = _PART.sub(".gguf", file.name) if name else f"whole-{file.name}"
    raise ModelError(
        f"This is one of {parts} parts of a GGUF file: the others hold the rest of the weights.",
        where=str(file),
        fix=f"join them: llama-gguf-split --merge {first} {whole}, and name {whole}",
    )
