"""A tiny Llama as a GGUF file, whole or with something missing."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_SIZE, _HEADS, _LAYERS = 32, 2, 2


def write_gguf(
    path: Path,
    tokenizer: PreTrainedTokenizerFast,
    *,
    without: Collection[str] = (),
    parts: int | None = None,
    quantised: str | None = None,
) -> Path:
    """Write the file, without some tensors, and return its path; `parts` is what one part of a split says.

    Its matrices are in the form `quantised` (`Q4_1`).
    """
    import gguf

    writer = gguf.GGUFWriter(str(path), "llama")
    backend = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(backend["vocab"], key=backend["vocab"].get)
    writer.add_context_length(2048)
    writer.add_block_count(_LAYERS)
    writer.add_embedding_length(_SIZE)
    writer.add_feed_forward_length(2 * _SIZE)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_SIZE // _HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges([" ".join(pair) for pair in backend["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if parts is not None:
        writer.add_uint16("split.count", parts)
        writer.add_uint16("split.no", 0)
    random = np.random.default_rng(0)
    for name, shape in _shapes(len(tokens)).items():
        values = random.normal(0, 0.1, shape).astype(np.float32)
        if name not in without and quantised is not None and len(shape) > 1:
            form = gguf.GGMLQuantizationType[quantised]
            writer.add_tensor(name, gguf.quants.quantize(values, form), raw_dtype=form)
        elif name not in without:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shapes(tokens: int) -> dict[str, tuple[int, ...]]:
    layer = {
        **{f"attn_{part}.weight": (_SIZE, _SIZE) for part in ("q", "k", "v", "output")},
        **{f"ffn_{part}.weight": (2 * _SIZE, _SIZE) for part in ("gate", "up")},
        "ffn_down.weight": (_SIZE, 2 * _SIZE),
        "attn_norm.weight": (_SIZE,),
        "ffn_norm.weight": (_SIZE,),
    }
    layers = {f"blk.{number}.{name}": shape for number in range(_LAYERS) for name, shape in layer.items()}
    return {"token_embd.weight": (tokens, _SIZE), **layers, "output_norm.weight": (_SIZE,)}
