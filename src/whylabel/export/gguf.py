"""One GGUF file for llama.cpp and what is built on it (Ollama, LM Studio), with a Modelfile for Ollama."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whylabel.errors import ModelError
from whylabel.export.gguf_vocabulary import write_vocabulary
from whylabel.export.modelfile import modelfile
from whylabel.host.atomic import write_json, write_text
from whylabel.host.runtime import prepare_process
from whylabel.host.terminal import json_text
from whylabel.models.load import CARD

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PreTrainedConfig

    from whylabel.prediction.trained import TrainedClassifier

GGUF_FILE = "model.gguf"
CARD_KEY = "whylabel.card"
"""The entry of the file's metadata that has the content of `whylabel.json`."""

_ARCHITECTURES = {
    "llama": "LLAMA",
    "qwen2": "QWEN2",
    "qwen3": "QWEN3",
    "gemma3_text": "GEMMA3",
    "smollm3": "SMOLLM3",
}
_FORMS = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
# In these, llama.cpp turns neighbouring numbers, transformers those of two halves.
_TURNS_NEIGHBOURS = ("llama", "smollm3")
# llama.cpp knows these by the type alone.
_GEMMA_PATTERN, _SMOLLM_PATTERN = 6, 4


def write(model: TrainedClassifier, folder: Path, quantisation: str, card: dict[str, Any]) -> None:
    """Write the folder. Raises `ModelError` if GGUF has no form for the model or its tokenizer."""
    prepare_process()
    import gguf

    config = model.loaded.model.config
    _check(config)
    architecture = getattr(gguf.MODEL_ARCH, _ARCHITECTURES[config.model_type])
    writer = gguf.GGUFWriter(folder / GGUF_FILE, gguf.MODEL_ARCH_NAMES[architecture], use_temp_file=True)
    _write_settings(writer, config, quantisation)
    writer.add_string(CARD_KEY, json_text(card, sort_keys=True))
    write_vocabulary(writer, model.prompts, model.loaded.model.get_input_embeddings().weight.shape[0])
    _write_tensors(writer, model, architecture, quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_json(folder / CARD, card)
    write_text(folder / "Modelfile", modelfile(model.card, model.prompts, GGUF_FILE))


def _check(config: PreTrainedConfig) -> None:
    """Raise `ModelError` for a model of which llama.cpp would compute something else."""
    kind = config.model_type
    reason = None
    if kind not in _ARCHITECTURES:
        reason = f"models of type {kind!r} are not supported ({', '.join(_ARCHITECTURES)} are)"
    elif kind == "gemma3_text" and config.layer_types != [
        "full_attention" if (layer + 1) % _GEMMA_PATTERN == 0 else "sliding_attention"
        for layer in range(config.num_hidden_layers)
    ]:
        reason = (
            f"of Gemma 3, llama.cpp knows only models in which every {_GEMMA_PATTERN}th layer sees all tokens"
        )
    elif kind == "gemma3_text" and config.query_pre_attn_scalar != _scalar_of_llama_cpp(config):
        reason = f"llama.cpp scales attention by {_scalar_of_llama_cpp(config)}, not {config.query_pre_attn_scalar:g}"
    elif kind == "smollm3" and list(config.no_rope_layers) != [
        int((layer + 1) % _SMOLLM_PATTERN != 0) for layer in range(config.num_hidden_layers)
    ]:
        reason = f"of SmolLM 3, llama.cpp knows only models in which every {_SMOLLM_PATTERN}th layer has no positions"
    elif kind != "gemma3_text" and "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        reason = "it has a sliding window, which llama.cpp does not know of this type"
    elif _rotary(config).get("rope_type", "default") not in ("default", "linear", "llama3"):
        reason = f"rotary embeddings of type {_rotary(config)['rope_type']!r} are not supported"
    if reason:
        raise ModelError(f"This model cannot be written as GGUF: {reason}.", fix="choose another format")


def _rotary(config: PreTrainedConfig) -> dict[str, Any]:
    """Return the parameters of the rotary embeddings, in Gemma 3 those of the layers that see all tokens."""
    parameters: dict[str, Any] = config.rope_parameters or {}
    return dict(parameters.get("full_attention", parameters))


def _scalar_of_llama_cpp(config: PreTrainedConfig) -> int:
    # It knows Gemma 3 27B by the number of its layers.
    if config.num_hidden_layers == 62:
        return int(config.hidden_size // config.num_attention_heads)
    return _head_size(config)


def _head_size(config: PreTrainedConfig) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _write_settings(writer: GGUFWriter, config: PreTrainedConfig, quantisation: str) -> None:
    import gguf

    rotary, size = _rotary(config), _head_size(config)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(rotary["rope_theta"]))
    if rotary.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rotary["factor"]))
    if config.model_type == "gemma3_text":
        writer.add_sliding_window(config.sliding_window)
        writer.add_rope_freq_base_swa(float(config.rope_parameters["sliding_attention"]["rope_theta"]))
    name = _FORMS[quantisation]
    writer.add_file_type(gguf.LlamaFileType["ALL_F32" if name == "F32" else f"MOSTLY_{name}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _write_tensors(
    writer: GGUFWriter, model: TrainedClassifier, architecture: Any, quantisation: str
) -> None:
    """Add all weights: matrices in the quantisation, where their rows divide into its blocks; the rest in f32."""
    import gguf

    config = model.loaded.model.config
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    form = gguf.GGMLQuantizationType[_FORMS[quantisation]]
    block, _ = gguf.GGML_QUANT_SIZES[form]
    for name, values in _weights(model):
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise ModelError(f"GGUF has no name for the weight {name}.", fix="choose another format")
        if values.ndim < 2 or form == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(known, values)
            continue
        taken = form if values.shape[-1] % block == 0 else gguf.GGMLQuantizationType.F16
        writer.add_tensor(known, gguf.quants.quantize(values, taken), raw_dtype=taken)
    factors = _frequency_factors(config)
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", factors)


def _weights(model: TrainedClassifier) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the name and values of each weight, in the order and with the offsets that llama.cpp expects."""
    config = model.loaded.model.config
    for name, tensor in model.loaded.model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.float().numpy()
        if config.model_type in _TURNS_NEIGHBOURS and ".self_attn." in name:
            heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
            count = heads.get(name.split(".")[-2])
            values = values if count is None else _interleaved(values, count)
        if config.model_type == "gemma3_text" and name.endswith("norm.weight"):
            values = values + 1  # Gemma multiplies by 1 + weight
        yield name, np.ascontiguousarray(values)


def _interleaved(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Return the rows of each head in the order in which the two halves alternate."""
    rest = values.shape[1:]
    return values.reshape(heads, 2, -1, *rest).swapaxes(1, 2).reshape(values.shape)


def _frequency_factors(config: PreTrainedConfig) -> NDArray[np.float32] | None:
    """Return by what each frequency is divided in rotary embeddings of type `llama3`; None in others.

    The formula is that of transformers (`_compute_llama3_parameters`).
    """
    rotary, size = _rotary(config), _head_size(config)
    if rotary.get("rope_type") != "llama3":
        return None
    factor, low, high = (float(rotary[name]) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    before = float(rotary["original_max_position_embeddings"])
    waves = 2 * math.pi * float(rotary["rope_theta"]) ** (np.arange(0, size, 2) / size)
    smooth = np.clip((before / waves - low) / (high - low), 0.0, 1.0)
    return np.asarray(1 / ((1 - smooth) / factor + smooth), dtype=np.float32)
