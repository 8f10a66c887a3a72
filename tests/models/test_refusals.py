"""Models of kinds that cannot be trained are refused by name, before anything is computed."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest
from transformers import BartConfig, DistilBertConfig, T5Config, T5ForConditionalGeneration, ViTConfig

from whylabel.errors import ModelError
from whylabel.models.check import check_model
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
