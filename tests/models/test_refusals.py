"""Models of kinds that cannot be trained are refused by name, before anything is computed."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest
from transformers import BartConfig, DistilBertConfig, T5Config, T5ForConditionalGeneration, ViTConfig

from whylabel.errors import ModelError
from whylabel.models.check import check_model, float32_bytes
from whylabel.models.fingerprint import model_fingerprint
from whylabel.models.load import ModelSource, find, load


@pytest.fixture
def t5(tokenizer, tmp_path):
    config = T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_an_encoder_with_a_decoder_is_refused(t5):
    for refuse in (lambda: check_model(str(t5), "base_model"), lambda: load(str(t5), device="cpu")):
        with pytest.raises(ModelError, match="'t5' has an encoder and a decoder") as caught:
            refuse()
        assert "decoder-only" in caught.value.fix


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (BartConfig(), "'bart' has an encoder and a decoder"),
        (DistilBertConfig(), "'distilbert' does not write text"),
        (ViTConfig(), "'vit' does not write text"),
    ],
)
def test_models_that_write_no_text_are_refused(t5, config, reason):
    config.save_pretrained(t5)
    with pytest.raises(ModelError, match=reason):
        load(str(t5), device="cpu")


@pytest.mark.parametrize("whole", [False, True])
def test_an_adapter_is_refused_with_the_way_to_merge_it(tiny_model_folder, tmp_path, whole):
    folder = tmp_path / "adapter"
    if whole:
        shutil.copytree(tiny_model_folder, folder)
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/base"}))
    source = ModelSource(str(folder), "cpu")
    for refuse in (
        find,
        load,
        lambda name: check_model(name, "base_model"),
        lambda _: source.checked_source(),
    ):
        with pytest.raises(ModelError, match=r"an adapter .* changes the weights of owner/base") as caught:
            refuse(str(folder))
        assert "merge_and_unload" in caught.value.fix and str(folder) in caught.value.fix


def test_the_way_to_merge_an_adapter_is_right(tiny_model_folder, tmp_path, monkeypatch):
    from peft import LoraConfig, get_peft_model

    monkeypatch.chdir(tmp_path)
    base = load(str(tiny_model_folder), device="cpu")
    adapted = get_peft_model(base.model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"))
    adapted.save_pretrained("adapter")
    with pytest.raises(ModelError) as caught:
        load("adapter", device="cpu")
    command = shlex.split(caught.value.fix.split("base model: ")[1].split(", copy")[0])
    assert command[0] == "python"
    subprocess.run([sys.executable, *command[1:]], check=True)
    base.tokenizer.save_pretrained("merged")
    load("merged", device="cpu")


KERNEL = "owner/kernel"


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_map": {"AutoModelForCausalLM": "modeling.Own"}},
        {"text_config": {"_attn_implementation_internal": KERNEL}},
        {"attn_implementation": KERNEL},
        {"text_config": {"experts_implementation": {"": KERNEL}}},
    ],
)
def test_code_that_a_config_or_a_section_of_it_names_is_refused(tiny_model_folder, tmp_path, settings):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    change_json(folder / "config.json", **settings)
    refused_by_all(folder, "models with their own code are refused")


def test_an_attention_that_transformers_knows_may_stand_in_a_config(tiny_model_folder, tmp_path):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    change_json(folder / "config.json", attn_implementation="eager")
    check_model(str(folder), "base_model")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "../elsewhere.safetensors", "/etc/passwd", 7])
def test_an_index_that_names_other_than_safetensors_beside_it_is_refused(tiny_model_folder, tmp_path, file):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "first.safetensors")
    index = {"metadata": {}, "weight_map": {"model.norm.weight": file}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused_by_all(folder, "names '.*': weights are read|does not say which file holds")


def test_a_config_that_names_a_pickle_as_its_weights_is_refused(tiny_model_folder, tmp_path):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    change_json(folder / "config.json", transformers_weights="pytorch_model.bin")
    refused_by_all(folder, "'pytorch_model.bin' .transformers_weights.")


def test_the_size_of_a_model_is_that_of_its_own_weights(tiny_model_folder, tmp_path):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    # The first eight bytes of another file say that its header has 4 EiB.
    (folder / "beside.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    assert float32_bytes(str(folder)) == float32_bytes(str(tiny_model_folder))


def test_a_gguf_file_whose_header_says_more_than_it_holds_is_refused_at_once(tmp_path):
    file = tmp_path / "model.gguf"
    key = (1).to_bytes(8, "little") + b"a"
    array = (9).to_bytes(4, "little") + (4).to_bytes(4, "little") + (2**62).to_bytes(8, "little")
    file.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(8) + (1).to_bytes(8, "little") + key + array)
    with pytest.raises(ModelError, match="ends within its header"):
        load(str(file), device="cpu")


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "7"])
def test_settings_of_another_shape_are_an_error_of_the_model(tiny_model_folder, tmp_path, content):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    (folder / "config.json").write_text(content)
    model_fingerprint(str(folder))
    for refuse in (check_model, load):
        with pytest.raises(ModelError):
            refuse(str(folder), **({"setting": "base_model"} if refuse is check_model else {"device": "cpu"}))


def test_architectures_that_are_no_list_are_no_bug_of_ours(tiny_model_folder, tmp_path):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    change_json(folder / "config.json", architectures=7)
    check_model(str(folder), "base_model")


def change_json(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def refused_by_all(folder, reason):
    for refuse in (
        load,
        lambda name: check_model(name, "base_model"),
        lambda name: ModelSource(name, "cpu").tokenizer,
        lambda name: ModelSource(name, "cpu").checked_source(),
    ):
        with pytest.raises(ModelError, match=reason):
            refuse(str(folder))
