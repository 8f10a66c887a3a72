from pathlib import Path

import pytest

from whylabel.engines import Sampling, make_engine, pick_engine
from whylabel.engines import openvino as engine_module
from whylabel.engines.check import check_engine
from whylabel.engines.openvino import OpenVinoEngine, exported, step_writer
from whylabel.engines.transformers import TransformersEngine
from whylabel.errors import EngineError
from whylabel.models.arithmetic import cpu_has_bf16
from whylabel.models.load import ModelSource, load
from whylabel.text.prompts import Prompt, Prompts

TEXTS = [
    "I won!",
    "It rained on the day of the fair and nobody came.",
    "ok",
    "The dog came home at last, thin.",
]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHYLABEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def model_folder(tiny_model_folder, tmp_path_factory):
    """The tiny model, untied and with larger weights: the original only ever repeats its last token."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(tiny_model_folder, tie_word_embeddings=False, initializer_range=0.4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    folder = tmp_path_factory.mktemp("models") / "lively"
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(model_folder):
    return load(str(model_folder), device="cpu")


@pytest.fixture(scope="module")
def engine(loaded, own_cache):
    return OpenVinoEngine(loaded, precision="float32")


@pytest.fixture(scope="module")
def prompts(loaded):
    prompts = Prompts(loaded.tokenizer, "chat")
    return [prompts.reasoner_for_text(text, label) for text in TEXTS for label in ("joy", "fear", "love")]


@pytest.fixture
def sampling(loaded):
    return Sampling(max_new_tokens=12, stop_ids=(loaded.tokenizer.eos_token_id,))


def in_order(completions):
    return sorted(completions, key=lambda completion: completion.index)


def without_time(completions):
    return [
        (row.index, row.text, row.prompt_tokens, row.tokens, row.finish, row.error, row.stop_id)
        for row in in_order(completions)
    ]


def test_greedy_outputs_are_those_of_transformers(engine, loaded, prompts, sampling):
    expected = list(TransformersEngine(loaded).generate(prompts, sampling))
    found = list(engine.generate(prompts, sampling))
    assert without_time(found) == without_time(expected)
    assert all(row.seconds > 0 for row in found)
    # Something must have been written for this to mean anything.
    assert len({row.text for row in found}) > 6


def test_generation_ends_at_any_stop_token(engine, loaded, prompts, sampling):
    tokens = TransformersEngine(loaded)._call([0], [prompts[0].ids], sampling)[0]
    eos = loaded.tokenizer.eos_token_id
    for stop_ids in ((tokens[4],), (eos, tokens[4]), (tokens[4], eos)):
        (row,) = engine.generate(prompts[:1], Sampling(12, stop_ids))
        assert (row.finish, row.stop_id) == ("stop", tokens[4])
        assert row.tokens == tokens.index(tokens[4]) + 1


@pytest.mark.parametrize("shared", [10, 32, 40, 64])
def test_rows_that_begin_alike_do_not_mix(engine, loaded, sampling, shared):
    """OpenVINO lets rows that share a part of a cache block write over each other in it."""
    start = tuple(range(100, 100 + shared))
    prompts = [Prompt((*start, *range(at, at + 9))) for at in range(200, 500, 30)]
    expected = list(TransformersEngine(loaded).generate(prompts, sampling))
    assert without_time(engine.generate(prompts, sampling)) == without_time(expected)


def test_few_tokens_in_flight_change_nothing(engine, prompts, sampling, monkeypatch):
    expected = without_time(engine.generate(prompts, sampling))
    # Less than any row needs: each is then computed by itself.
    monkeypatch.setattr(engine._pipeline, "_tokens_in_flight", 1)
    completions = list(engine.generate(prompts, sampling))
    assert without_time(completions) == expected
    assert [row.index for row in completions] == list(range(len(prompts)))


def test_a_prompt_far_longer_than_the_others_spoils_none(engine, loaded, prompts, sampling):
    long = Prompt(prompts[0].ids * 30)
    completions = in_order(engine.generate([*prompts[:3], long], sampling))
    assert without_time(completions) == without_time(
        TransformersEngine(loaded).generate([*prompts[:3], long], sampling)
    )
    assert completions[3].prompt_tokens > 1500
    assert all(row.tokens for row in completions)


def test_a_row_that_cannot_be_computed_does_not_take_the_others_down(engine, loaded, prompts, sampling):
    unknown = Prompt((1, len(loaded.tokenizer) + 5))
    completions = in_order(engine.generate([prompts[0], Prompt(()), unknown, prompts[1]], sampling))
    assert [row.finish == "error" for row in completions] == [False, True, True, False]
    assert all("token that the model does not know" in completions[index].error for index in (1, 2))
    # Nor where all of them start with what cannot be computed.
    start = unknown.ids * 20
    for row in engine.generate([Prompt((*start, 5)), Prompt((*start, 6))], sampling):
        assert (row.finish, row.tokens, row.text, row.prompt_tokens) == ("error", 0, "", 41)


def test_a_row_that_comes_back_empty_has_failed(engine, prompts, sampling, monkeypatch):
    class Lost:
        def get_status(self):
            from openvino_genai import GenerationStatus

            return GenerationStatus.IGNORED

        def can_read(self):
            return False

    real = engine._pipeline._request
    handles = iter([Lost()])
    monkeypatch.setattr(engine._pipeline, "_cache_prefix", lambda prompts: 0.0)
    monkeypatch.setattr(engine._pipeline, "_request", lambda *given: next(handles, None) or real(*given))
    completions = in_order(engine.generate(prompts[:3], sampling))
    assert [row.finish == "error" for row in completions] == [True, False, False]
    assert "IGNORED" in completions[0].error


def test_a_pipeline_that_breaks_is_an_engine_error(engine, prompts, sampling, monkeypatch):
    class Broken:
        def __getattr__(self, name):
            return getattr(pipeline, name)

        def step(self):
            raise RuntimeError("Check 'memory' failed at allocator.cpp:3:\nout of memory")

    pipeline = engine._pipeline._pipeline
    monkeypatch.setattr(engine._pipeline, "_pipeline", Broken())
    with pytest.raises(EngineError, match="broke off: out of memory"):
        list(engine.generate(prompts[:2], sampling))
    monkeypatch.undo()
    assert len(list(engine.generate(prompts[:2], sampling))) == 2


def test_a_seed_decides_what_is_sampled_whatever_the_company(engine, prompts, sampling):
    def drawn(requests, seed=1):
        settings = Sampling(12, sampling.stop_ids, temperature=1.0, top_p=0.95, seed=seed)
        return [row.text for row in in_order(engine.generate(requests, settings))]

    equal = drawn([prompts[0]] * 5)
    assert len(set(equal)) == 5
    assert drawn([prompts[0]] * 5) == equal
    assert drawn([prompts[0]] * 5, seed=100) != equal
    assert drawn([prompts[0], prompts[1], prompts[0]])[::2] == equal[:3:2]


def test_an_iterator_closed_early_leaves_the_engine_ready(engine, prompts, sampling):
    expected = without_time(engine.generate(prompts[:3], sampling))
    completions = engine.generate(prompts, sampling)
    next(completions)
    completions.close()
    assert without_time(engine.generate(prompts[:3], sampling)) == expected
    assert not engine._pipeline._pipeline.has_non_finished_requests()


def test_no_prompts_no_completions(engine, sampling):
    assert list(engine.generate([], sampling)) == []


def test_a_model_is_exported_once(loaded, engine, monkeypatch, model_folder):
    def never(*_arguments):
        raise AssertionError("exported again")

    monkeypatch.setattr(engine_module, "export", never)
    again = load(str(model_folder), device="cpu")
    assert exported(again.model) == exported(loaded.model)
    again.model.get_input_embeddings().weight.data[7] += 0.5
    with pytest.raises(AssertionError, match="exported again"):
        exported(again.model)


def test_only_the_latest_exports_are_kept(tmp_path, monkeypatch):
    import os

    names = [str(age) * 32 for age in range(7)]
    for age, name in enumerate([*names, "mine"]):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    engine_module._remove_old_exports(tmp_path)
    # A folder with another name is no export.
    assert sorted(path.name for path in tmp_path.iterdir()) == [*names[:4], "mine"]


def test_an_export_that_says_something_else_is_not_kept(loaded, monkeypatch, model_folder):
    other = load(str(model_folder), device="cpu").model
    real = engine_module.export

    def spoiled(model, folder):
        real(model, folder)
        model.model.layers[1].mlp.down_proj.weight.data *= -3

    other.model.norm.weight.data *= 1.5
    monkeypatch.setattr(engine_module, "export", spoiled)
    before = set(Path(exported(loaded.model)).parent.iterdir())
    with pytest.raises(EngineError, match="generates something else") as raised:
        exported(other)
    assert "augment.engine: transformers" in str(raised.value)
    assert set(Path(exported(loaded.model)).parent.iterdir()) == before


def test_what_is_missing_is_named_with_its_cure(loaded, monkeypatch):
    monkeypatch.setattr(engine_module, "installed_version", lambda package: None)
    with pytest.raises(EngineError, match="openvino-genai") as raised:
        OpenVinoEngine(loaded)
    assert "pip install 'whylabel[openvino]'" in str(raised.value)
    assert pick_engine(ModelSource("none", "cpu"))[0] == "transformers"


def test_a_model_in_other_arithmetic_is_refused(model_folder):
    with pytest.raises(EngineError, match="float32 on the CPU"):
        OpenVinoEngine(load(str(model_folder), device="cpu", dtype="bfloat16"))


@pytest.mark.parametrize(
    ("named", "fast", "expected"),
    [
        ("auto", True, "bfloat16"),
        ("auto", False, "float32"),
        ("float32", True, "float32"),
        ("bfloat16", False, "bfloat16"),
    ],
)
def test_auto_computes_in_bf16_where_that_is_faster(named, fast, expected, monkeypatch):
    monkeypatch.setattr("whylabel.models.arithmetic.cpu_has_bf16", lambda: True)
    monkeypatch.setattr("whylabel.models.arithmetic._bf16_speed", lambda: 4.0 if fast else 0.5)
    assert engine_module.pick_precision(named, 2) == expected


def test_openvino_never_computes_bf16_in_one_thread(monkeypatch):
    monkeypatch.setattr("whylabel.models.arithmetic.cpu_has_bf16", lambda: True)
    monkeypatch.setattr("whylabel.models.arithmetic._bf16_speed", lambda: 4.0)
    assert engine_module.pick_precision("auto", 1) == "float32"
    with pytest.raises(EngineError, match="2 threads or more"):
        engine_module.pick_precision("bfloat16", 1)


def test_bf16_is_refused_where_the_cpu_has_no_instructions_for_it(monkeypatch):
    monkeypatch.setattr("whylabel.models.arithmetic.cpu_has_bf16", lambda: False)
    assert engine_module.pick_precision("auto", 2) == "float32"
    with pytest.raises(EngineError, match="This CPU does not compute bfloat16"):
        engine_module.pick_precision("bfloat16", 2)


def test_the_precision_reaches_openvino(loaded, monkeypatch):
    given = {}

    class Pipeline:
        def __init__(self, _folder, **settings):
            given.update(settings)

    monkeypatch.setattr(engine_module, "PagedPipeline", Pipeline)
    monkeypatch.setattr(engine_module, "exported", lambda _model: "folder")
    monkeypatch.setattr("whylabel.models.arithmetic.cpu_has_bf16", lambda: True)
    OpenVinoEngine(loaded, precision="bfloat16", threads=3)
    assert given["precision"] == "bfloat16"


def test_an_unknown_precision_is_refused_before_anything_is_computed():
    with pytest.raises(EngineError, match="Unknown precision 'int3'") as raised:
        check_engine("openvino", {"precision": "int3"}, distributed=False)
    assert "augment.engine_options.precision" in str(raised.value)


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not compute bfloat16, and it is refused")
def test_rows_are_written_in_bf16(loaded, prompts, sampling):
    written = list(OpenVinoEngine(loaded, precision="bfloat16", threads=2).generate(prompts, sampling))
    assert len(written) == len(prompts)
    assert not any(row.error for row in written)


def test_auto_is_openvino_where_it_can_run_the_model(model_folder, monkeypatch, capsys):
    source = ModelSource(str(model_folder), "cpu")
    assert make_engine("auto", source, {}).name == "openvino"
    assert "engine auto is openvino: the fastest on a CPU" in capsys.readouterr().err
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert pick_engine(ModelSource(str(model_folder), "cuda")) == ("transformers", "the fastest on cuda")
    source.config.model_type = "gpt2"
    name, reason = pick_engine(source)
    assert (name, "gpt2" in reason) == ("transformers", True)


def test_a_closed_engine_says_so(loaded, prompts, sampling):
    engine = OpenVinoEngine(loaded)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        next(engine.generate(prompts, sampling))


def test_nothing_is_reported_to_anyone(engine):
    import sys

    assert sys.modules["openvino_telemetry"] is None


def test_rows_that_come_and_go_are_written_as_they_would_be_alone(loaded, prompts):
    sampling = Sampling(10, ())
    expected = {}
    for number, prompt in enumerate(prompts[:6]):
        writer = step_writer(loaded, tokens_per_step=128)
        row = writer.submit(number, prompt.ids, sampling)
        while not writer.is_idle:
            writer.step()
        expected[number] = row.generated
        del writer
    writer = step_writer(loaded, tokens_per_step=16)
    rows = []
    for number, prompt in enumerate(prompts[:6]):
        rows.append(writer.submit(number, prompt.ids, sampling))
        writer.step()
    writer.cancel(rows[5])
    while not writer.is_idle:
        writer.step()
    assert [row.generated for row in rows[:5]] == [expected[number] for number in range(5)]
    assert len({tuple(row.generated) for row in rows[:5]}) > 1
    # The same prompt at different times: nothing is shared that both would write to.
    again = [writer.submit(number, prompts[0].ids, sampling) for number in range(2)]
    writer.step()
    again.append(writer.submit(2, prompts[0].ids, sampling))
    while not writer.is_idle:
        writer.step()
    assert [row.generated for row in again] == [expected[0]] * 3
