"""In which form the weights of a base model were, as far as it is known."""

import json
import shutil

import pytest

from gguf_file import write_gguf
from whylabel.errors import ModelError
from whylabel.models.quantisation import quantisation


@pytest.mark.parametrize("form", ["Q4_1", "Q8_0", None])
def test_a_gguf_file_says_in_which_form_most_weights_are(tokenizer, tmp_path, form):
    assert quantisation(str(write_gguf(tmp_path / "tiny.GGUF", tokenizer, quantised=form))) == form


def test_the_default_model_is_known_and_one_of_the_hub_is_not():
    assert quantisation("smollm2-135m-instruct") == "Q4_1"
    assert quantisation("owner/model") is None


def test_a_model_that_whylabel_has_trained_says_what_its_base_was(tiny_model_folder, tmp_path):
    assert quantisation(str(tiny_model_folder)) is None
    trained = shutil.copytree(tiny_model_folder, tmp_path / "trained")
    for lineage, expected in (({"base_model_quantisation": "Q4_1"}, "Q4_1"), ({}, None)):
        (trained / "whylabel.json").write_text(json.dumps({"lineage": lineage}))
        assert quantisation(str(trained)) == expected


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "torn.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="The GGUF file cannot be read") as caught:
        quantisation(str(tmp_path / "torn.gguf"))
    assert caught.value.where == str(tmp_path / "torn.gguf")
