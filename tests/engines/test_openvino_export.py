import pytest

from whylabel.engines import openvino_export
from whylabel.engines.base import Sampling
from whylabel.engines.openvino import _NEAR_TIE, _largest_gap
from whylabel.engines.openvino_export import export, unsupported_reason
from whylabel.engines.openvino_pipeline import PagedPipeline
from whylabel.errors import EngineError

WINDOW = 16
LLAMA_3 = {
    **{"rope_type": "llama3", "rope_theta": 5e5, "factor": 32.0, "low_freq_factor": 1.0},
    **{"high_freq_factor": 4.0, "original_max_position_embeddings": 64},
}
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
EVERY_OTHER = {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}
MODELS = {
    "llama": ("llama", {}),
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "llama 3 rope": ("llama", {"rope_parameters": LLAMA_3}),
    "linear rope": ("llama", {"rope_parameters": LINEAR}),
    "yarn rope": ("llama", {"rope_parameters": YARN}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral, windows": ("mistral", {"sliding_window": WINDOW}),
    "phi3": ("phi3", {"sliding_window": None}),
    "phi3, windows": ("phi3", {"sliding_window": WINDOW}),
    "qwen2": ("qwen2", {}),
    "qwen2, windows": ("qwen2", EVERY_OTHER),
    "qwen3": ("qwen3", {}),
    "qwen3, windows": ("qwen3", EVERY_OTHER),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 0]}),
    "gemma3": (
        "gemma3_text",
        {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
    ),
}


def make(model_type, **values):
    """A small model of random weights, the same at every call."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    given = {
        **{"vocab_size": 600, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048},
        **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
        # With small or tied weights a random model repeats its last token, whatever came before.
        **{"initializer_range": 0.4, "tie_word_embeddings": False},
        **({} if model_type == "phi3" else {"head_dim": 16}),
        **values,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **given)).eval()


@pytest.mark.parametrize("name", MODELS)
def test_an_export_generates_what_its_model_does(name, tmp_path):
    import numpy as np

    model_type, values = MODELS[name]
    model = make(model_type, **values)
    assert unsupported_reason(model.config) is None
    export(model, tmp_path)
    pipeline = PagedPipeline(tmp_path, vocab_size=600, tokens_in_flight=4096, threads=1)
    drawn = tuple(np.random.default_rng(1).integers(3, 600, 150).tolist())
    # Within a window, far beyond it, and with a shared prefix of whole blocks.
    prompts = [drawn[:4], drawn[:100], drawn[:80] + drawn[120:]]
    rows = list(pipeline.run(prompts, Sampling(10, ())))
    assert [len(row.generated) for row in rows] == [10, 10, 10]
    assert max(_largest_gap(model, row) for row in rows) < _NEAR_TIE


def test_a_window_that_is_lost_would_be_seen_in_the_tokens(monkeypatch, tmp_path):
    model = make("mistral", sliding_window=WINDOW)
    monkeypatch.setattr(openvino_export, "_check_attention", lambda *given: None)
    monkeypatch.setattr(openvino_export, "windows", lambda config: [0, 0])
    export(model, tmp_path)
    pipeline = PagedPipeline(tmp_path, vocab_size=600, tokens_in_flight=4096, threads=1)
    (row,) = pipeline.run([tuple(range(3, 103))], Sampling(10, ()))
    assert _largest_gap(model, row) > 100 * _NEAR_TIE


def test_attention_that_openvino_does_not_recognise_is_refused(monkeypatch, tmp_path):
    real = openvino_export._masks

    def without_window(config, *given):
        return real(type(config)(num_hidden_layers=2, sliding_window=None), *given)

    monkeypatch.setattr(openvino_export, "_masks", without_window)
    windows = make("mistral", sliding_window=WINDOW)
    with pytest.raises(EngineError, match=r"windows \[0, 0\], expected \[16, 16\]") as raised:
        export(windows, tmp_path)
    assert "augment.engine: transformers" in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_models_that_were_not_tried_are_refused(tmp_path):
    from transformers import Gemma3TextConfig, GPT2Config, LlamaConfig, Phi3Config

    assert "'gpt2' are not supported" in unsupported_reason(GPT2Config())
    dynamic = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    assert "'dynamic' are not supported" in unsupported_reason(LlamaConfig(rope_parameters=dynamic))
    factors = [1.0] * 48
    long = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": factors, "long_factor": factors}
    assert "'longrope'" in unsupported_reason(Phi3Config(rope_parameters=long, max_position_embeddings=8192))
    assert "looks ahead" in unsupported_reason(Gemma3TextConfig(use_bidirectional_attention=True))
    with pytest.raises(EngineError, match="'dynamic' are not supported") as raised:
        export(make("llama", rope_parameters=dynamic), tmp_path)
    assert "augment.engine: transformers" in str(raised.value)
