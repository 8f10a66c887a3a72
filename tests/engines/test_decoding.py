"""Every engine writes the same, whatever the model's own generation_config.json says."""

import sys
from pathlib import Path

import pytest

from hostile_model import HOSTILE, hostile_copy
from whylabel.engines import Sampling, make_engine
from whylabel.engines.decoding import generation_config
from whylabel.engines.ray_worker import EngineWorker, WorkerPlan
from whylabel.errors import EngineError
from whylabel.models.decoding import NEUTRAL
from whylabel.models.load import ModelSource
from whylabel.text.prompts import Prompts

FAKE_VLLM = Path(__file__).parents[1] / "fake_vllm.py"
TEXTS = ["I won!", "It rained on the day of the fair and nobody came.", "ok", "The dog came home, thin."]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHYLABEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def plain(tiny_model_folder, tmp_path_factory):
    """The tiny model, untied and with larger weights: the original only ever repeats its last token."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(tiny_model_folder, tie_word_embeddings=False, initializer_range=0.4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    folder = tmp_path_factory.mktemp("models") / "plain"
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def hostile(plain, tmp_path_factory):
    return hostile_copy(plain, tmp_path_factory.mktemp("models") / "hostile")


@pytest.fixture(scope="module")
def prompts(plain):
    prompts = Prompts(ModelSource(str(plain), "cpu").tokenizer, "chat")
    return [prompts.reasoner_for_text(text, label) for text in TEXTS for label in ("joy", "fear")]


@pytest.fixture(scope="module")
def sampling(plain):
    return Sampling(12, (ModelSource(str(plain), "cpu").tokenizer.eos_token_id,))


def written(completions):
    return [
        (row.index, row.text, row.tokens, row.finish, row.stop_id) for row in sorted(completions, key=index)
    ]


def index(completion):
    return completion.index


def in_this_process(name, folder, prompts, sampling, **options):
    engine = make_engine(name, ModelSource(str(folder), "cpu"), options)
    try:
        return written(engine.generate(prompts, sampling))
    finally:
        engine.close()


@pytest.fixture(scope="module")
def expected(plain, prompts, sampling):
    found = in_this_process("transformers", plain, prompts, sampling)
    assert len({text for _, text, *_ in found}) > 3, "a model that always says the same shows nothing"
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("transformers", {}),
        ("transformers", {"max_rows": 1}),
        ("transformers", {"continuous": True, "paging": {"num_blocks": 16, "max_batch_tokens": 128}}),
        ("openvino", {"precision": "float32"}),
    ],
    ids=["static", "one by one", "continuous", "openvino"],
)
def test_an_engine_does_not_use_the_model_s_own_settings(hostile, prompts, sampling, expected, name, options):
    assert in_this_process(name, hostile, prompts, sampling, **options) == expected


def test_a_worker_of_ray_does_not_use_them_either(hostile, prompts, sampling, expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    worker = EngineWorker(WorkerPlan("transformers", str(hostile), "cpu", {}, cores=1))
    worker.start()
    found, ended = worker.begin(prompts, sampling)
    while not ended:
        more, ended = worker.take()
        found += more
    worker.close()
    assert written(found) == expected


def test_nor_does_the_server_of_vllm(hostile, prompts, sampling, tmp_path, monkeypatch):
    import json

    program = tmp_path / "vllm"
    program.write_text(FAKE_VLLM.read_text().replace("PYTHON", sys.executable, 1))
    program.chmod(0o755)
    monkeypatch.setenv("FAKE_VLLM_NOTES", str(tmp_path / "notes.json"))
    in_this_process("vllm", hostile, prompts, sampling, command=str(program))
    arguments = json.loads((tmp_path / "notes.json").read_text())["arguments"]
    assert arguments.count("--generation-config") == 1
    assert arguments[arguments.index("--generation-config") + 1] == "vllm"
    assert "--trust-remote-code" not in arguments
    for argument in (
        "--generation-config=auto",
        "--override-generation-config",
        "--override_generation_config",
    ):
        with pytest.raises(EngineError, match="would change what is written"):
            make_engine("vllm", ModelSource(str(hostile), "cpu"), {"arguments": [argument, "{}"]})


def test_what_is_drawn_at_random_does_not_depend_on_them(plain, hostile, prompts):
    drawn = Sampling(12, (), temperature=1.3, top_p=0.9, seed=5)
    assert in_this_process("transformers", hostile, prompts, drawn) == in_this_process(
        "transformers", plain, prompts, drawn
    )


@pytest.mark.parametrize("field", [name for name in HOSTILE if name not in ("max_new_tokens", "do_sample")])
def test_a_setting_that_is_changed_in_memory_is_not_used(plain, prompts, sampling, expected, field):
    source = ModelSource(str(plain), "cpu")
    own = source.load().model.generation_config
    setattr(own, field, HOSTILE[field])
    engine = make_engine("transformers", source, {})
    assert written(engine.generate(prompts[:2], sampling)) == expected[:2]
    assert source.load().model.generation_config is own, "the engine has kept the model as it was"


def test_every_field_of_a_generation_config_is_decided_here():
    from transformers import GenerationConfig

    ours = generation_config(Sampling(12, (7, 9), temperature=0.5, top_p=0.8), pad_id=3)
    # Fields that change no output, or that the fields above switch off.
    idle = {
        *("max_length", "bos_token_id", "decoder_start_token_id", "cache_implementation", "cache_config"),
        *("max_cache_len", "compile_config", "disable_compile", "prefill_chunk_size", "transformers_version"),
        *("continuous_batching_config", "output_attentions", "output_hidden_states", "output_scores"),
        *(
            "output_logits",
            "return_dict_in_generate",
            "num_assistant_tokens",
            "num_assistant_tokens_schedule",
        ),
        *("assistant_confidence_threshold", "max_matching_ngram_size", "assistant_lookbehind"),
        "target_lookbehind",
    }
    for name in vars(GenerationConfig()):
        if not name.startswith("_"):
            assert getattr(ours, name) is not None or name in NEUTRAL or name in idle, name
    assert (ours.eos_token_id, ours.pad_token_id, ours.max_new_tokens) == ([7, 9], 3, 12)
    assert (ours.temperature, ours.top_p, ours.top_k, ours.do_sample) == (0.5, 0.8, 0, True)
    assert generation_config(Sampling(1, ()), None).do_sample is False
