import json
from dataclasses import replace

import pytest
from families import build

from whylabel.errors import ModelError
from whylabel.models.load import LoadedModel
from whylabel.models.trainable import check_lengths, check_trainable


@pytest.fixture
def gpt2(tokenizer, tmp_path):
    build("GPT-2", len(tokenizer)).save_pretrained(tmp_path)
    return tmp_path


def test_rows_longer_than_the_positions_are_refused_from_the_settings_alone(gpt2):
    (gpt2 / "model.safetensors").unlink()
    check_lengths(str(gpt2), {"training.max_length": 512})
    both = {"training.max_length": 1024, "reasoner.training.max_length": 600}
    with pytest.raises(ModelError) as caught:
        check_lengths(str(gpt2), both)
    assert "512 positions" in caught.value.what
    assert caught.value.fix.startswith("set training.max_length=512 reasoner.training.max_length=512;")


def test_lengths_from_which_a_model_has_learnt_are_no_positions(tiny_model_folder):
    check_lengths(str(tiny_model_folder), {"training.max_length": 100_000})


def test_settings_that_say_nothing_are_left_to_the_loading(gpt2, tmp_path):
    settings = json.loads((gpt2 / "config.json").read_text())
    (gpt2 / "config.json").write_text(json.dumps({**settings, "model_type": "unknown"}))
    check_lengths(str(gpt2), {"training.max_length": 1024})
    check_lengths("owner/name", {"training.max_length": 1024})


def test_a_model_that_writes_wrong_is_refused_where_it_has_to_write(tokenizer):
    loaded = LoadedModel(build("Llama 2/3", len(tokenizer)), tokenizer, "m")
    assert check_trainable(loaded, 64, "training", writes=True).writes
    loaded.tried = replace(loaded.tried, writes=False)
    check_trainable(loaded, 64, "training", writes=False)
    with pytest.raises(ModelError, match="writes other tokens than it predicts"):
        check_trainable(loaded, 64, "training", writes=True)
