"""What a model's own files say about decoding.

The tokens at which it ends are obeyed by every engine. Everything else in its `generation_config.json` (penalties,
forced or forbidden tokens, beams, sampling) is ignored by every engine: `Sampling` alone decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.host.runtime import prepare_process

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

NEUTRAL: dict[str, Any] = {
    # Which continuation is searched for.
    **{"num_beams": 1, "num_beam_groups": 1, "diversity_penalty": 0.0, "num_return_sequences": 1},
    **{"early_stopping": False, "length_penalty": 1.0, "constraints": None, "force_words_ids": None},
    **{"penalty_alpha": None, "dola_layers": None, "guidance_scale": 1.0, "low_memory": None},
    # Scores of tokens.
    **{
        "repetition_penalty": 1.0,
        "encoder_repetition_penalty": 1.0,
        "exponential_decay_length_penalty": None,
    },
    **{"no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "remove_invalid_values": False},
    **{"bad_words_ids": None, "suppress_tokens": None, "begin_suppress_tokens": None, "sequence_bias": None},
    **{"forced_bos_token_id": None, "forced_eos_token_id": None, "watermarking_config": None},
    **{"renormalize_logits": False, "token_healing": False},
    # Where sampling is random; `temperature` and `top_p` are in `Sampling`.
    **{"min_p": None, "top_h": None, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0},
    # The end.
    **{"min_length": 0, "min_new_tokens": None, "max_time": None, "stop_strings": None},
    # Drafts by another or the same model.
    **{"is_assistant": None, "prompt_lookup_num_tokens": None, "assistant_early_exit": None},
    **{"assistant_ensemble_weight": None, "speculation_type": None, "use_mtp": None},
}
"""Fields of transformers' generation config that change what is generated, each with the value that does nothing."""


def own_generation_config(source: str) -> GenerationConfig | None:
    """Return the generation config of a model folder or hub id, as transformers reads it; None if it has none."""
    prepare_process()
    from transformers import GenerationConfig

    for place in ({}, {"config_file_name": "config.json", "_from_model_config": True}):
        try:
            return GenerationConfig.from_pretrained(source, **place)
        except OSError:
            continue
    return None


def named_ends(config: PreTrainedConfig, generation_config: GenerationConfig | None) -> frozenset[int]:
    """Return every token that the model's config or its generation config names as an end of sequence."""
    parts = (config, config.get_text_config(), generation_config)
    return _ends(getattr(part, "eos_token_id", None) for part in parts)


def set_ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make a model in training end where its tokenizer says, and forget all other settings of decoding.

    It also ends at other control tokens that the base model names as ends. With the pad as an end, outputs would be
    empty after a reload; an ordinary token (a config's default may be one) would end a reasoning anywhere.
    """
    from transformers import GenerationConfig

    control = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = named_ends(model.config, model.generation_config) & control
    ends = sorted({tokenizer.eos_token_id, *named} - {tokenizer.pad_token_id})
    end: int | list[int] = ends[0] if len(ends) == 1 else ends
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = end
    model.generation_config = GenerationConfig(
        bos_token_id=model.generation_config.bos_token_id,
        eos_token_id=end,
        pad_token_id=tokenizer.pad_token_id,
    )


def decoding_settings(source: str) -> dict[str, list[Any]]:
    """Return what a model's files say about decoding beside the tokenizer's EOS: usually nothing.

    Whylabel 0.1 obeyed such settings in one engine and not in others, and did not stop at such tokens, so what it
    wrote with these models is not what would be written now. Nothing but JSON is read; a GGUF file says nothing else.
    """
    config = _read(source, "config.json")
    own = _read(source, "generation_config.json") or config
    ignored = [
        name
        for name, nothing in NEUTRAL.items()
        if own.get(name) not in (None, [], {}) and own[name] != nothing
    ]
    parts = (config, config.get("text_config") or {}, own)
    ends = _ends(part.get("eos_token_id") for part in parts) - _tokenizer_end(source)
    found: dict[str, list[Any]] = {"ignored_settings": sorted(ignored), "own_stop_ids": sorted(ends)}
    return {name: values for name, values in found.items() if values}


def _ends(named: Iterable[Any]) -> frozenset[int]:
    found: set[int] = set()
    for ends in named:
        found.update(ends if isinstance(ends, Iterable) else () if ends is None else (ends,))
    return frozenset(int(token) for token in found if token >= 0)


def _tokenizer_end(source: str) -> frozenset[int]:
    """Return the id of the tokenizer's EOS, if its files name one."""
    name = _read(source, "tokenizer_config.json").get("eos_token")
    name = name.get("content") if isinstance(name, Mapping) else name
    tokens = _read(source, "tokenizer.json").get("added_tokens") or []
    return frozenset(token["id"] for token in tokens if token["content"] == name)


def _read(source: str, name: str) -> dict[str, Any]:
    """Return a JSON file of a model folder or of a hub id in the cache; empty if there is none."""
    folder = Path(source)
    if not folder.exists() and source.count("/") == 1:
        from transformers.utils import cached_file

        try:
            file = cached_file(source, name)
        except OSError:
            return {}
    else:
        file = str(folder / name)
    try:
        found = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
