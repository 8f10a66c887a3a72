import json
import shutil

import pytest
import torch
from families import build

from hostile_model import HOSTILE, hostile_copy
from whylabel.errors import ModelError
from whylabel.models.arithmetic import pick_device
from whylabel.models.load import LoadedModel, ModelSource, find, load, prepare_for_training, read_card, save
from whylabel.text.prompts import LABEL_MARKER, PAD_TOKEN, Prompts


@pytest.fixture
def loaded(tiny_model_folder) -> LoadedModel:
    return load(str(tiny_model_folder), device="cpu")


def test_a_path_that_is_not_there_is_told_from_a_hub_id(tmp_path):
    assert find("owner/name") == "owner/name"
    for name in ("./nowhere", "~nouser/m", str(tmp_path / "nowhere"), "smollm3", "a/b/c", "model.gguf"):
        with pytest.raises(ModelError, match="There is no model"):
            find(name)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json"):
        find(str(tmp_path))


def test_foreign_code_is_refused(tiny_model_folder, tmp_path):
    for key in ("auto_map", "_attn_implementation_internal"):
        folder = tmp_path / key
        shutil.copytree(tiny_model_folder, folder)
        config = json.loads((folder / "config.json").read_text())
        config[key] = {"AutoModelForCausalLM": "evil.Model"}
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(ModelError, match=key):
            load(str(folder))


def test_a_pickle_is_not_read(tiny_model_folder, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_model_folder, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"holds no weights \(no \*\.safetensors\)") as raised:
        load(str(folder))
    assert raised.value.where == str(folder)


def test_damaged_weights_are_a_clear_error(tiny_model_folder, tmp_path):
    folder = tmp_path / "torn"
    shutil.copytree(tiny_model_folder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(str(folder))


def test_preparation_adds_a_pad_that_is_not_eos_and_a_marker_that_can_be_read(loaded):
    before = loaded.model.get_input_embeddings().weight.detach().clone()
    prepare_for_training(loaded)
    tokenizer = loaded.tokenizer
    assert tokenizer.pad_token == PAD_TOKEN
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    marker = tokenizer.convert_tokens_to_ids(LABEL_MARKER)
    after = loaded.model.get_input_embeddings().weight
    assert after.shape[0] == len(tokenizer)
    assert torch.equal(after[: len(before)], before)
    meaning = tokenizer("\nLabel:", add_special_tokens=False).input_ids
    assert torch.allclose(after[marker], before[meaning].mean(dim=0))
    pad = after[tokenizer.pad_token_id]
    assert torch.allclose(pad, before.mean(dim=0), atol=1e-6)
    prepare_for_training(loaded)
    assert loaded.model.get_input_embeddings().weight.shape[0] == len(tokenizer)


def test_a_saved_model_is_plain_and_stops_at_eos_alone(loaded, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    prepare_for_training(loaded)
    save(loaded, tmp_path, {"format": 1, "labels": ["a", "b"]})
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id
    assert read_card(tmp_path)["labels"] == ["a", "b"]
    inputs = torch.tensor([Prompts(tokenizer).classifier("hello", "label")])
    expected = loaded.model(inputs).logits
    assert torch.allclose(model(inputs).logits, expected, atol=1e-5)


def test_a_trained_model_forgets_how_its_base_decodes_but_not_where_it_ends(tiny_model_folder, tmp_path):
    """With transformers alone it writes what it has learnt: the likeliest tokens, to any end that its base knows."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    ends = [0, 2, 300]  # a control token, the tokenizer's EOS, an ordinary token
    base = hostile_copy(tiny_model_folder, tmp_path / "base", **{**HOSTILE, "eos_token_id": ends})
    loaded = load(str(base), device="cpu")
    assert loaded.end_ids == {0, 2, 300} == ModelSource(str(base), "cpu").end_ids
    prepare_for_training(loaded)
    save(loaded, tmp_path / "trained", {"format": 1})
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "trained")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "trained")
    pad = tokenizer.pad_token_id
    expected = GenerationConfig(bos_token_id=1, eos_token_id=[0, 2], pad_token_id=pad)
    assert model.generation_config.to_diff_dict() == expected.to_diff_dict()
    assert model.config.eos_token_id == [0, 2] and pad not in (0, 2)
    assert load(str(tmp_path / "trained"), device="cpu").end_ids == {0, 2}


@pytest.mark.parametrize("family", ["XGLM", "RoBERTa"])
def test_a_pad_token_is_not_taken_for_a_position(tokenizer, tmp_path, family):
    """Both take the pad token of their config for a row of their table of positions, and could not be read again."""
    from transformers import RobertaConfig, RobertaForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    size, base = len(tokenizer), tmp_path / "base"
    roberta = RobertaConfig(vocab_size=size, max_position_embeddings=130, is_decoder=True, **sizes)
    model = RobertaForCausalLM(roberta).eval() if family == "RoBERTa" else build("XGLM", size)
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    loaded = load(str(base), device="cpu")
    prepare_for_training(loaded)
    save(loaded, tmp_path / "saved", {})
    inputs = torch.tensor([[5, 6, 7]])
    expected = loaded.model(inputs).logits
    assert torch.allclose(
        load(str(tmp_path / "saved"), device="cpu").model(inputs).logits, expected, atol=1e-5
    )


def test_a_folder_that_is_not_ours_is_named(tiny_model_folder):
    with pytest.raises(ModelError, match="no whylabel model"):
        read_card(tiny_model_folder)


@pytest.mark.parametrize("device", ["cuda:99", "meta"])
def test_a_device_that_is_not_there_is_an_error_in_words(device):
    with pytest.raises(ModelError, match=f"no device '{device}'"):
        pick_device(device)
