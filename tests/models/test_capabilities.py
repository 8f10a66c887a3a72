"""What a model computes right for several rows at once is tried out, not assumed."""

import json

import pytest
import torch
from families import FAMILIES, WINDOW, build
from transformers import (
    AutoConfig,
    BertConfig,
    BertLMHeadModel,
    PreTrainedConfig,
    RobertaConfig,
    RobertaForCausalLM,
)

from whylabel.errors import ModelError
from whylabel.models import capabilities, probe
from whylabel.models.capabilities import ANY_LENGTH, Capabilities, check_positions, limits_of, positions_of
from whylabel.models.load import LoadedModel, load
from whylabel.models.probe import Probe

IDS = range(5, 600)
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def of(family, tokenizer, tokens=200, **changes):
    return LoadedModel(build(family, len(tokenizer), **changes), tokenizer, family).capabilities(tokens)


@pytest.mark.parametrize("family", ["Llama 2/3", "Qwen 3", "GPT-NeoX, Pythia", "Phi 1/2"])
def test_an_ordinary_model_can_do_all_at_any_length(tokenizer, family):
    found = of(family, tokenizer)
    ways = ("tree_masks", "ragged_rows", "packing", "shared_prefix", "left_padding", "right_padding")
    assert [getattr(found, way) for way in ways] == [ANY_LENGTH] * len(ways)
    assert found.writes and found.positions is found.window is None


@pytest.mark.parametrize(
    "family", ["gpt-oss", "MPT", "Falcon", "OPT", "XGLM", "Bloom", "Qwen3-Next", "LFM2", "Mamba"]
)
def test_a_leak_between_packed_rows_is_found(tokenizer, family):
    assert of(family, tokenizer).packing == 0


@pytest.mark.parametrize("family", ["Bloom", "Falcon (ALiBi)", "MPT", "LFM2", "Granite 4 (hybrid)"])
def test_a_model_without_tree_masks_is_found_whatever_it_raises(tokenizer, family):
    assert of(family, tokenizer).tree_masks == 0


@pytest.mark.parametrize("family", ["MPT", "LFM2", "Qwen3-Next", "Granite 4 (hybrid)"])
def test_a_cache_that_rows_cannot_share_is_found(tokenizer, family):
    found = of(family, tokenizer)
    assert found.shared_prefix == 0
    assert found.left_padding == ANY_LENGTH


@pytest.mark.parametrize("family", ["Mistral", "Gemma 2", "Gemma 3", "gpt-oss", "GPT-Neo"])
def test_what_is_right_as_long_as_the_window_holds_all_is_so_far_and_no_further(tokenizer, family):
    found = of(family, tokenizer)
    assert found.window == found.tree_masks == found.shared_prefix == WINDOW
    assert found.left_padding == found.right_padding == ANY_LENGTH


def test_a_window_of_an_unknown_name_is_found_at_the_length_that_is_needed(tokenizer, monkeypatch):
    monkeypatch.setattr(capabilities, "limits_of", lambda _config: [])
    assert 0 < of("Mistral", tokenizer).tree_masks < WINDOW
    assert of("Mistral", tokenizer, tokens=50).tree_masks == ANY_LENGTH


def test_a_limit_that_no_row_reached_is_tried_out_when_one_does(tokenizer):
    loaded = LoadedModel(build("Mistral", len(tokenizer)), tokenizer, "m")
    short = loaded.capabilities(50)
    assert (short.unprobed, short.left_padding) == (WINDOW, WINDOW)
    assert loaded.capabilities(WINDOW) is short
    long = loaded.capabilities(WINDOW + 1)
    assert (long.unprobed, long.left_padding, long.tree_masks) == (None, ANY_LENGTH, WINDOW)
    assert loaded.capabilities(40) is loaded.capabilities(2000) is long


def test_a_limit_that_takes_too_long_to_try_out_is_not_crossed_and_not_tried_again(tokenizer, monkeypatch):
    monkeypatch.setattr(capabilities, "_CPU_FLOPS", 1.0)
    loaded = LoadedModel(build("Mistral", len(tokenizer)), tokenizer, "m")
    found = loaded.capabilities(500)
    assert found.tree_masks == found.left_padding == found.packing == WINDOW
    assert loaded.capabilities(5000) is found


@pytest.mark.parametrize("rope_type", ["longrope", "dynamic"])
def test_rotary_embeddings_that_depend_on_the_longest_row_are_found(tokenizer, rope_type):
    rope = {"rope_type": rope_type, "rope_theta": 10_000.0, "factor": 4.0}
    changes = {"max_position_embeddings": 48}
    if rope_type == "longrope":
        rope |= {"short_factor": [1.0] * 4, "long_factor": [8.0] * 4, "original_max_position_embeddings": 48}
        changes = {"max_position_embeddings": 512, "original_max_position_embeddings": 48}
    family = "Phi 3/4" if rope_type == "longrope" else "Llama 2/3"
    found = of(family, tokenizer, rope_parameters=rope, **changes)
    assert found.right_padding == found.left_padding == 48


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["Llama 2/3", "OPT"])
def test_a_leak_is_told_from_the_noise_of_16_bits(tokenizer, family, dtype):
    model = build(family, len(tokenizer)).to(dtype)
    found = LoadedModel(model, tokenizer, family).capabilities(40)
    assert found.tree_masks == ANY_LENGTH
    assert found.packing == (0 if family == "OPT" else ANY_LENGTH)
    assert found.tried_with["dtype"] == str(dtype).removeprefix("torch.")


def test_a_leak_is_found_with_weights_so_small_that_tokens_hardly_notice_each_other(tokenizer):
    model = build("OPT", len(tokenizer))
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(0.03 if value.ndim >= 2 else 1)
    trial = Probe(model, 40, IDS)
    assert trial._visible < 0.1
    assert not trial.is_right(probe.read_packed)
    assert trial.is_right(probe.read_padded_right)


@pytest.mark.parametrize("wrong", ["mask", "positions"])
def test_one_wrong_token_is_enough(tokenizer, monkeypatch, wrong):
    """Both are what the whole tree depends on: who sees whom, and who stands where."""
    model = build("Llama 2/3", len(tokenizer))
    trial = Probe(model, 40, IDS)
    assert trial.is_right(probe.read_tree)
    forward = model.forward

    def spoilt(**inputs):
        if wrong == "mask":
            inputs["attention_mask"][:, :, -1, -11] = 0
        else:
            inputs["position_ids"][:, -10:] += 1
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", spoilt)
    assert not trial.is_right(probe.read_tree)


@pytest.mark.parametrize(
    "make",
    [
        lambda size: RobertaForCausalLM(RobertaConfig(vocab_size=size, max_position_embeddings=130, **SIZES)),
        lambda size: BertLMHeadModel(BertConfig(vocab_size=size, max_position_embeddings=128, **SIZES)),
    ],
)
def test_an_encoder_is_refused_by_name(tokenizer, tmp_path, make):
    make(len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load(str(tmp_path), device="cpu")
    with pytest.raises(ModelError, match=r"of type '(ro)?bert\w*' looks ahead") as caught:
        loaded.capabilities(40)
    assert "decoder-only" in caught.value.fix and caught.value.where == str(tmp_path)


@pytest.mark.parametrize(
    ("family", "positions"),
    [
        ("GPT-2", 512),
        ("OPT", 512),
        ("GPT-Neo", 512),
        ("XGLM", 512),
        ("MPT", 512),
        ("Llama 2/3", None),
        ("Bloom", None),
        ("Falcon (ALiBi)", None),
        ("Granite 4 (hybrid)", None),
    ],
)
def test_positions_are_known_where_they_are_learnt_or_their_table_is_fixed(tokenizer, family, positions):
    model = build(family, len(tokenizer))
    assert positions_of(model) == positions
    with torch.device("meta"):
        assert positions_of(build(family, len(tokenizer))) == positions
    if positions is not None:
        model(torch.tensor([[5] * positions]))
        LoadedModel(model, tokenizer, family).capabilities(positions)
        assert positions_of(model) == positions


def test_positions_that_begin_after_that_of_the_padding(tokenizer):
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=130, is_decoder=True, **SIZES)
    model = RobertaForCausalLM(config)
    assert positions_of(model) == 128
    model(torch.tensor([[5] * 128]))
    with pytest.raises(Exception, match="index"):
        model(torch.tensor([[5] * 129]))


def test_settings_that_let_rows_be_longer_than_the_positions_are_named():
    check_positions(None, {"training.max_length": 1024}, "m")
    check_positions(1024, {"training.max_length": 1024}, "m")
    with pytest.raises(ModelError, match=r"512 positions, .*: training\.max_length=1024\.") as caught:
        check_positions(512, {"training.max_length": 1024, "reasoner.training.max_length": 256}, "m")
    assert caught.value.fix.startswith("set training.max_length=512;")


def test_the_lengths_at_which_something_changes_are_read_from_the_settings():
    assert limits_of(AutoConfig.for_model("llama")) == []
    assert limits_of(AutoConfig.for_model("mistral", sliding_window=4096)) == [4096]
    assert limits_of(PreTrainedConfig(attention_chunk_size=32, window_size=300, use_sliding_window=True)) == [
        32,
        300,
    ]


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3"])
def test_a_number_of_layers_is_not_a_length(model_type):
    config = AutoConfig.for_model(model_type, max_window_layers=24)
    assert "max_window_layers" in config.to_dict() and limits_of(config) == []


def test_a_record_is_read_as_it_was_written(tokenizer):
    for family in ("Gemma 2", "GPT-2"):
        found = of(family, tokenizer)
        record = json.loads(json.dumps(found.to_json()))
        assert Capabilities.from_json(record) == found
    assert record["tree_masks"] is True and record["positions"] == 512
    for broken in (None, [], {"unknown": 1}, {"packing": "x"}):
        assert Capabilities.from_json(broken) is None


def test_a_model_that_cannot_read_a_row_is_refused_by_name(tokenizer, monkeypatch):
    model = build("Llama 2/3", len(tokenizer))

    def broken(**_):
        raise RuntimeError("no kernel\nmore")

    monkeypatch.setattr(model, "forward", broken)
    with pytest.raises(ModelError, match=r"cannot read 24 tokens: no kernel\n"):
        LoadedModel(model, tokenizer, "m").capabilities(40)


def test_the_model_is_left_as_it_was(tokenizer):
    loaded = LoadedModel(build("Llama 2/3", len(tokenizer)), tokenizer, "m")
    own, state = loaded.model.generation_config, torch.get_rng_state()
    loaded.capabilities(60)
    assert loaded.model.generation_config is own
    assert torch.equal(torch.get_rng_state(), state)
    assert loaded.model.config._attn_implementation == "sdpa"
    assert not loaded.model.training


def test_every_family_can_be_tried_out(tokenizer):
    for family in FAMILIES:
        assert of(family, tokenizer, tokens=40).writes, family
