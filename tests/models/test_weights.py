"""A model is read whole or refused by name: nothing is filled with random numbers."""

import json
import shutil
import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from gguf_file import write_gguf
from whylabel.errors import ModelError
from whylabel.models.check import check_model
from whylabel.models.load import ModelSource, load

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture
def model(tiny_model_folder, tmp_path):
    """A copy of the tiny model."""
    return shutil.copytree(tiny_model_folder, tmp_path / "model")


def rewrite(folder, change):
    """Change the weights of a folder in place; the change gets them by name."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def without(*names):
    return lambda weights: [weights.pop(name) for name in names]


@pytest.mark.parametrize(
    "name",
    ["model.layers.1.mlp.up_proj.weight", "model.norm.weight", "model.embed_tokens.weight"],
)
def test_a_missing_weight_is_named(model, name):
    rewrite(model, without(name))
    with pytest.raises(ModelError, match=rf"missing: .*{name}") as caught:
        load(str(model), device="cpu")
    assert caught.value.where == str(model)


def test_a_missing_layer_is_named_with_the_number_of_its_weights(model):
    layer = [name for name in load_file(model / "model.safetensors") if ".layers.1." in name]
    rewrite(model, without(*layer))
    with pytest.raises(ModelError, match=rf"model\.layers\.1\.\S+ and {len(layer) - 3} more"):
        load(str(model), device="cpu")


def test_a_head_is_missing_unless_it_is_tied(tokenizer, tmp_path):
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **SIZES)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    rewrite(tmp_path, without("lm_head.weight"))
    with pytest.raises(ModelError, match=r"missing: lm_head\.weight\."):
        load(str(tmp_path), device="cpu")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    load(str(tmp_path), device="cpu")


@pytest.mark.parametrize(
    "name", ["model.layers.2.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias"]
)
def test_a_weight_that_the_model_would_compute_without_is_named(model, name):
    rewrite(model, lambda weights: weights.update({name: torch.ones(4)}))
    with pytest.raises(ModelError, match=rf"no place for: {name}"):
        load(str(model), device="cpu")


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "score.weight"])
def test_what_is_computed_anyway_and_heads_for_other_tasks_do_no_harm(model, name):
    expected = load(str(model), device="cpu").model(torch.tensor([[5, 6, 7]])).logits
    rewrite(model, lambda weights: weights.update({name: torch.ones(4)}))
    assert torch.equal(load(str(model), device="cpu").model(torch.tensor([[5, 6, 7]])).logits, expected)


def test_the_causal_masks_of_old_checkpoints_do_no_harm(tokenizer, tmp_path):
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    old = {"attn.bias": torch.ones(1, 1, 64, 64), "attn.masked_bias": torch.tensor(-1e4)}
    rewrite(
        tmp_path,
        lambda weights: weights.update({f"transformer.h.0.{name}": value for name, value in old.items()}),
    )
    load(str(tmp_path), device="cpu")


def test_weights_of_another_shape_are_named_with_both(model):
    rewrite(model, lambda weights: weights.update({"model.norm.weight": torch.ones(16)}))
    with pytest.raises(ModelError, match=r"model\.norm\.weight is \(16,\), \(32,\) is needed"):
        load(str(model), device="cpu")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_hidden_layers": 10**9}, "a model of 1,000,000,000 layers, and the weights are those of 2"),
        ({"hidden_size": 4096, "intermediate_size": 16384}, r"a model of \d+,\d+,\d+ parameters"),
        ({"vocab_size": 10**9}, "a model of 32,"),
    ],
)
def test_a_config_of_a_far_larger_model_is_refused_before_there_is_memory_for_it(
    model, settings, says, monkeypatch
):
    config = model / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **settings}))
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda *_, **__: pytest.fail())
    with pytest.raises(ModelError, match=says):
        load(str(model), device="cpu")


def test_a_file_of_the_weights_that_is_missing_is_named_before_and_while_it_loads(
    tiny_model_folder, tmp_path
):
    loaded = load(str(tiny_model_folder), device="cpu")
    loaded.model.save_pretrained(tmp_path, max_shard_size="40KB")
    loaded.tokenizer.save_pretrained(tmp_path)
    check_model(str(tmp_path), "base_model")
    load(str(tmp_path), device="cpu")
    lost = sorted(tmp_path.glob("model-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(ModelError, match=rf"1 of the \d+ files with its weights are missing: {lost.name}"):
        check_model(str(tmp_path), "base_model")
    with pytest.raises(ModelError, match=lost.name):
        load(str(tmp_path), device="cpu")


def test_a_tokenizer_with_more_tokens_than_the_embedding_is_named(model, tokenizer):
    larger = deepcopy(tokenizer)
    larger.add_tokens(["<added>", "<more>"])
    larger.save_pretrained(model)
    with pytest.raises(ModelError, match=rf"2 tokens more .* the first is '<added>' \({len(tokenizer)}\)"):
        load(str(model), device="cpu")


def test_a_control_token_that_the_embedding_has_no_row_for_does_no_harm(model, tokenizer):
    larger = deepcopy(tokenizer)
    larger.add_special_tokens({"additional_special_tokens": ["<image>"]})
    larger.save_pretrained(model)
    load(str(model), device="cpu")


@pytest.mark.parametrize("name", ["tiny.gguf", "TINY.GGUF"])
def test_a_gguf_file_is_read_whole_whatever_the_case_of_its_name(tokenizer, tmp_path, name):
    file = write_gguf(tmp_path / name, tokenizer)
    check_model(str(file), "base_model")
    source = ModelSource(str(file), "cpu")
    assert source.is_gguf and source.config.num_hidden_layers == 2
    loaded = source.load()
    assert loaded.tokenizer("day", add_special_tokens=False).input_ids == tokenizer("day").input_ids
    # transformers before 5.19 took the begin for the end.
    assert loaded.tokenizer.eos_token == tokenizer.eos_token
    assert loaded.model(torch.tensor([[5, 6, 7]])).logits.isfinite().all()
    with pytest.raises(ModelError, match="There is no model"):
        ModelSource("nowhere.GGUF", "cpu").load()


def test_a_gguf_file_draws_no_progress_bar_into_a_log(tokenizer, tmp_path):
    program = (
        "import sys; from pathlib import Path; from whylabel.host.runtime import own_process; own_process();"
        "from whylabel.models.gguf import load_gguf; load_gguf(Path(sys.argv[1])); print('read')"
    )
    command = [sys.executable, "-c", program, str(write_gguf(tmp_path / "tiny.gguf", tokenizer))]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True)
    assert outcome.stdout == "read\n" and "it/s" not in outcome.stderr


def test_a_gguf_file_without_a_weight_is_refused(tokenizer, tmp_path):
    file = write_gguf(tmp_path / "tiny.gguf", tokenizer, without=["blk.1.ffn_up.weight"])
    with pytest.raises(ModelError, match=r"missing: model\.layers\.1\.mlp\.up_proj\.weight"):
        load(str(file), device="cpu")


@pytest.mark.parametrize("name", ["tiny-00001-of-00003.gguf", "tiny-00002-of-00003.GGUF", "renamed.gguf"])
def test_a_part_of_a_gguf_file_is_refused_with_the_way_to_join_it(tokenizer, tmp_path, name):
    file = write_gguf(tmp_path / name, tokenizer, without=["blk.1.ffn_up.weight"], parts=3)
    with pytest.raises(ModelError, match="one of 3 parts of a GGUF file") as caught:
        load(str(file), device="cpu")
    assert "llama-gguf-split --merge" in caught.value.fix
    if "-of-" in name:
        assert "tiny-00001-of-00003.gguf tiny.gguf" in caught.value.fix
        with pytest.raises(ModelError, match="one of 3 parts"):
            check_model(str(file), "base_model")


def test_a_split_into_one_part_is_whole(tokenizer, tmp_path):
    load(str(write_gguf(tmp_path / "tiny-00001-of-00001.gguf", tokenizer, parts=1)), device="cpu")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_torn_gguf_file_is_refused(tokenizer, tmp_path, share):
    file = write_gguf(tmp_path / "tiny.gguf", tokenizer)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match="cannot be read"):
        load(str(file), device="cpu")
