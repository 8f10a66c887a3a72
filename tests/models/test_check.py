import json
import shutil

import pytest

from whylabel.errors import ModelError, UsageError
from whylabel.models.check import check_model, check_replaceable, float32_bytes


@pytest.fixture
def copy(tiny_model_folder, tmp_path):
    return shutil.copytree(tiny_model_folder, tmp_path / "copy")


def test_a_model_that_can_be_used(tiny_model_folder):
    check_model(str(tiny_model_folder), "base_model")
    check_model("owner/name", "base_model")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "nowhere.gguf", "smollm3", "a/b/c"])
def test_a_model_that_is_not_there(name):
    with pytest.raises(ModelError) as caught:
        check_model(name, "reasoner.model")
    assert caught.value.where == f"reasoner.model: {name}"


def test_a_file_that_is_no_gguf(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="no GGUF file"):
        check_model(str(tmp_path / "model.gguf"), "base_model")
    (tmp_path / "model.gguf").write_bytes(b"GGUF\x03")
    check_model(str(tmp_path / "model.gguf"), "base_model")


@pytest.mark.parametrize("content", ["{", "[]", '{"auto_map": {}}', "\x00"])
def test_a_config_that_is_damaged_or_brings_code(copy, content):
    (copy / "config.json").write_text(content)
    with pytest.raises(ModelError):
        check_model(str(copy), "base_model")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_weights_that_are_torn_are_named_before_anything_is_loaded(copy, share):
    file = copy / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        check_model(str(copy), "base_model")


def test_parts_of_weights_without_their_index_are_named(copy):
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor model\.safetensors\.index\.json"):
        check_model(str(copy), "base_model")


def test_only_a_model_of_ours_is_replaced(copy, tmp_path):
    check_replaceable(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    check_replaceable(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"'chat_template\.jinja', 'config\.json'"):
        check_replaceable(copy)
    (copy / "whylabel.json").write_text(json.dumps({"format": 1}))
    (copy / ".whylabel.partial-123.json").write_text("{")  # killed while it was calibrated
    check_replaceable(copy)
    (copy / "tokenizer.json.bak").write_text("")
    (copy / "old").mkdir()
    with pytest.raises(UsageError, match=r": 'old', 'tokenizer\.json\.bak'\."):
        check_replaceable(copy)


def test_the_size_in_float32_is_that_of_the_parameters(tiny_model_folder):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    assert float32_bytes(str(tiny_model_folder)) == 4 * sum(one.numel() for one in model.parameters())
    assert float32_bytes("owner/name") is None


@pytest.mark.parametrize("name", [".model.old", ".model.partial"])
def test_a_folder_beside_the_model_is_not_removed_with_what_others_put_there(tmp_path, name):
    aside = tmp_path / name
    aside.mkdir()
    (aside / "model.safetensors").write_bytes(b"torn")
    (aside / ".whylabel.partial-123.json").write_bytes(b"{")  # killed while it wrote the card
    check_replaceable(tmp_path / "model")
    (aside / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="'notes.txt'"):
        check_replaceable(tmp_path / "model")
