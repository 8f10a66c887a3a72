"""The licence of a base model: known from its publisher, its files or its own base model; or unknown."""

import json

import numpy as np
import pytest

from whylabel.models.licence import Licence, licence_of


@pytest.mark.parametrize(
    ("name", "identifier", "licence_name"),
    [
        ("smollm2-135m-instruct", "apache-2.0", None),
        ("HuggingFaceTB/SmolLM2-360M-Instruct", "apache-2.0", None),
        ("Qwen/Qwen2.5-0.5B-Instruct", "apache-2.0", None),
        ("Qwen/Qwen2.5-3B-Instruct", "other", "qwen-research"),
        ("meta-llama/Llama-3.2-1B-Instruct", "llama3.2", None),
        ("meta-llama/Llama-2-7b-hf", "llama2", None),
        ("google/gemma-3-270m-it", "gemma", None),
    ],
)
def test_those_of_common_families_are_known(name, identifier, licence_name):
    assert licence_of(name) == Licence(identifier, licence_name)


@pytest.mark.parametrize("name", ["owner/SmolLM2-135M", "Qwen/other", "no-such-model", "unknown"])
def test_any_other_is_unknown(name):
    assert licence_of(name) is None


def test_a_folder_says_it_itself(tmp_path):
    assert licence_of(str(tmp_path)) is None
    readme = tmp_path / "README.md"
    readme.write_text(
        "---\nlicense: other\nlicense_name: mine\nlicense_link: LICENSE\ntags: [x]\n---\n# A model\n"
    )
    assert licence_of(str(tmp_path)) == Licence("other", "mine", "LICENSE")
    assert licence_of(str(tmp_path)).words == "mine"
    for unusable in ("# no head", "---\nlicense: [a]\n---\n", "---\n{: [\n---\n", "---\nlicense: mit\n"):
        readme.write_text(unusable)
        assert licence_of(str(tmp_path)) is None


def test_a_model_that_whylabel_trained_has_that_of_its_base(tmp_path):
    card = tmp_path / "whylabel.json"
    card.write_text(json.dumps({"lineage": {"base_model": "microsoft/phi-2"}}))
    assert licence_of(str(tmp_path)) == Licence("mit")
    for base in (str(tmp_path), None, "a/b"):
        card.write_text(json.dumps({"lineage": {"base_model": base}}))
        assert licence_of(str(tmp_path)) is None


@pytest.mark.parametrize("said", [None, "gemma"])
def test_a_gguf_file_may_say_it(tmp_path, said):
    from gguf import GGUFWriter

    path = tmp_path / "small.gguf"
    writer = GGUFWriter(str(path), "llama")
    if said:
        writer.add_license(said)
    writer.add_tensor("some.weight", np.zeros((2, 2), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert licence_of(str(path)) == (Licence(said) if said else None)
    path.write_bytes(b"no GGUF file")
    assert licence_of(str(path)) is None
