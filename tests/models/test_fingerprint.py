import json
import shutil

import pytest

from whylabel.models.fingerprint import model_fingerprint


@pytest.fixture
def copy(tiny_model_folder, tmp_path):
    return shutil.copytree(tiny_model_folder, tmp_path / "copy")


def test_the_fingerprint_follows_the_content(tiny_model_folder, copy):
    assert model_fingerprint(str(copy)) == model_fingerprint(str(tiny_model_folder))
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert model_fingerprint(str(copy)) != model_fingerprint(str(tiny_model_folder))


def test_who_saved_a_model_and_when_is_not_its_content(tiny_model_folder, copy):
    for name in ("config.json", "generation_config.json"):
        settings = json.loads((copy / name).read_text())
        settings |= {"transformers_version": "9.9.9", "_name_or_path": "elsewhere"}
        (copy / name).write_text(json.dumps(settings))
    for name in ("whylabel.json", "classes.json", "README.md", "notes.txt", "trainer_state.json"):
        (copy / name).write_text("{}")
    (copy / "runs.model").mkdir()
    assert model_fingerprint(str(copy)) == model_fingerprint(str(tiny_model_folder))


@pytest.mark.parametrize(
    ("name", "key"), [("config.json", "rms_norm_eps"), ("generation_config.json", "repetition_penalty")]
)
def test_settings_are_content(tiny_model_folder, copy, name, key):
    settings = json.loads((copy / name).read_text())
    (copy / name).write_text(json.dumps({**settings, key: 0.5}))
    assert model_fingerprint(str(copy)) != model_fingerprint(str(tiny_model_folder))


@pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.jinja", "config.json"])
def test_every_file_that_prediction_reads_is_content(tiny_model_folder, copy, name):
    (copy / name).write_bytes((copy / name).read_bytes() + b"x")
    assert model_fingerprint(str(copy)) != model_fingerprint(str(tiny_model_folder))
