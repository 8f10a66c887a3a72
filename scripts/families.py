"""Tiny random models of many families, built from their configs: for docs/models.md and the tests."""

from __future__ import annotations

from typing import Any

_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_ROTARY = {**_SIZES, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512}
_LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
WINDOW = 64
"""The window of the families that have one: shorter than any real one, so that it is tried out quickly."""

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama 2/3": ("llama", _ROTARY),
    "SmolLM 1/2": ("llama", {**_ROTARY, "tie_word_embeddings": True}),
    "SmolLM 3": ("smollm3", {**_ROTARY, "pad_token_id": 0}),
    "Qwen 2/2.5": ("qwen2", _ROTARY),
    "Qwen 3": ("qwen3", _ROTARY),
    "Qwen3-Next": (
        "qwen3_next",
        {
            **_ROTARY,
            **_LINEAR,
            **_EXPERTS,
            "layer_types": ["linear_attention", "full_attention"],
            "shared_expert_intermediate_size": 16,
        },
    ),
    "Gemma 2": ("gemma2", {**_ROTARY, "sliding_window": WINDOW}),
    "Gemma 3": (
        "gemma3_text",
        {**_ROTARY, "sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "Phi 1/2": ("phi", _SIZES | {"max_position_embeddings": 512}),
    "Phi 3/4": ("phi3", {**_ROTARY, "pad_token_id": 0}),
    "Mistral": ("mistral", {**_ROTARY, "sliding_window": WINDOW}),
    "Granite": ("granite", _ROTARY),
    "Granite 4 (hybrid)": (
        "granitemoehybrid",
        {
            **_ROTARY,
            "layer_types": ["mamba", "attention"],
            "mamba_n_heads": 8,
            "mamba_d_head": 8,
            "mamba_d_state": 16,
            "mamba_n_groups": 1,
            "mamba_chunk_size": 16,
            "num_local_experts": 0,
            "num_experts_per_tok": 0,
            "shared_intermediate_size": 32,
        },
    ),
    "LFM2": (
        "lfm2",
        {**_ROTARY, "layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    ),
    "gpt-oss": (
        "gpt_oss",
        {
            **_ROTARY,
            "sliding_window": WINDOW,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "GPT-2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    "GPT-Neo": (
        "gpt_neo",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": WINDOW,
            "max_position_embeddings": 512,
        },
    ),
    "GPT-NeoX, Pythia": ("gpt_neox", _SIZES | {"max_position_embeddings": 512}),
    "OPT": (
        "opt",
        {
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "ffn_dim": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
        },
    ),
    "XGLM": (
        "xglm",
        {"d_model": 32, "ffn_dim": 64, "num_layers": 2, "attention_heads": 4, "max_position_embeddings": 512},
    ),
    "Bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "Falcon": ("falcon", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}),
    "Falcon (ALiBi)": (
        "falcon",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True},
    ),
    "Mamba": ("mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    "MPT": ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 512}),
}


def build(family: str, vocab_size: int, **changes: Any) -> Any:
    """Return a model of the family with random weights (seed 0), large enough that tokens notice each other."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    model_type, settings = FAMILIES[family]
    tokens = {"bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(model_type, vocab_size=vocab_size, **{**tokens, **settings, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for value in model.parameters():
                value.mul_(4 if value.ndim >= 2 else 1)
    return model.eval()
