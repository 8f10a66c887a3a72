import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from whylabel.engines import Sampling
from whylabel.engines.transformers import TransformersEngine, shared_prefix
from whylabel.errors import ModelError
from whylabel.models.load import load
from whylabel.text.prompts import Prompt, Prompts

TEXTS = [
    "I won!",
    "It rained on the day of the fair and nobody came.",
    "ok",
    "The dog came home at last, thin.",
]


@pytest.fixture(scope="module")
def loaded(tiny_model_folder):
    return load(str(tiny_model_folder), device="cpu")


@pytest.fixture(scope="module")
def prompts(loaded):
    prompts = Prompts(loaded.tokenizer)
    return [prompts.reasoner_for_text(text, "joy") for text in TEXTS]


@pytest.fixture
def sampling(loaded):
    return Sampling(max_new_tokens=12, stop_ids=(loaded.tokenizer.eos_token_id,))


def by_index(completions):
    return {completion.index: completion for completion in completions}


def test_a_batch_of_one_says_the_same_as_a_batch_of_many(loaded, prompts, sampling):
    many = by_index(TransformersEngine(loaded).generate(prompts * 4, sampling))
    one = by_index(TransformersEngine(loaded, max_rows=1).generate(prompts * 4, sampling))
    assert sorted(many) == list(range(16))
    assert {index: row.text for index, row in many.items()} == {index: row.text for index, row in one.items()}


def test_counts_and_finish_reasons(loaded, prompts, sampling):
    cut = next(TransformersEngine(loaded).generate(prompts[:1], sampling))
    assert (cut.finish, cut.tokens, cut.stop_id) == ("length", 12, None)
    assert cut.prompt_tokens == len(prompts[0].ids)
    first_token = loaded.tokenizer(cut.text, add_special_tokens=False).input_ids[0]
    generated = TransformersEngine(loaded)._call([0], [prompts[0].ids], sampling)[0]
    stop = Sampling(max_new_tokens=12, stop_ids=(generated[3],))
    stopped = next(TransformersEngine(loaded).generate(prompts[:1], stop))
    assert stopped.finish == "stop"
    assert stopped.stop_id == generated[3]
    assert stopped.tokens == generated.index(generated[3]) + 1
    assert first_token >= 0


def test_without_stop_tokens_every_row_is_as_long_as_it_may_be(loaded, prompts):
    rows = list(TransformersEngine(loaded).generate(prompts, Sampling(max_new_tokens=6, stop_ids=())))
    assert [(row.tokens, row.finish) for row in rows] == [(6, "length")] * len(prompts)


def test_a_row_that_fails_does_not_take_the_others_down(loaded, prompts, sampling, monkeypatch):
    engine = TransformersEngine(loaded)
    real = engine._call

    def failing(batch, prompts, sampling):
        if 2 in batch:
            raise RuntimeError("out of memory\nsecond line")
        return real(batch, prompts, sampling)

    monkeypatch.setattr(engine, "_call", failing)
    found = by_index(engine.generate(prompts, sampling))
    assert sorted(found) == [0, 1, 2, 3]
    assert (found[2].finish, found[2].error) == ("error", "out of memory")
    assert all(found[index].finish != "error" for index in (0, 1, 3))


def test_what_the_model_cannot_take_fails_alone(loaded, prompts, sampling, monkeypatch):
    engine = TransformersEngine(loaded)
    size = loaded.model.get_input_embeddings().weight.shape[0]
    expected = by_index(engine.generate(prompts, sampling))
    asked = [*prompts, Prompt(()), Prompt((3, size)), Prompt((-1,))]
    for name in ({}, {"continuous": True, "paging": {"num_blocks": 16, "max_batch_tokens": 128}}):
        found = by_index(TransformersEngine(loaded, **name).generate(asked, sampling))
        assert [found[index].text for index in range(4)] == [expected[index].text for index in range(4)]
        assert {found[index].error for index in (4, 5, 6)} == {
            "the prompt is empty or has a token that the model does not know"
        }
    real = engine._call

    def limited(batch, prompts, sampling):
        if max(len(prompts[index]) for index in batch) >= longest:
            raise IndexError("index out of range in self")
        return real(batch, prompts, sampling)

    longest = max(len(prompt.ids) for prompt in prompts)
    monkeypatch.setattr(engine, "_call", limited)
    found = by_index(engine.generate(prompts, sampling))
    failed = [index for index, row in found.items() if row.error]
    assert failed == [index for index, prompt in enumerate(prompts) if len(prompt.ids) == longest]
    # A call of which the only row is too long fails by that row, too.
    (row,) = engine.generate([prompts[failed[0]]], sampling)
    assert row.error == "index out of range in self"


@pytest.mark.parametrize(
    "error", [TypeError("got an unexpected keyword"), RuntimeError("device-side assert")]
)
def test_a_fault_that_is_no_row_s_ends_the_call(loaded, prompts, sampling, monkeypatch, error):
    calls = []

    def broken(*_arguments, **_named):
        calls.append(1)
        raise error

    monkeypatch.setattr(loaded.model, "generate", broken)
    with pytest.raises(
        ModelError, match=rf"cannot generate at all: {type(error).__name__}: {error}"
    ) as raised:
        list(TransformersEngine(loaded).generate(prompts * 16, sampling))
    assert raised.value.__cause__ is error
    assert len(calls) == 2, "64 rows were tried for nothing"


def test_batches_shrink_to_what_memory_holds(loaded, prompts, sampling, monkeypatch):
    engine = TransformersEngine(loaded)
    real, tried, held = engine._call, [], []

    class Cache:
        pass

    def short_of_memory(batch, prompts, sampling):
        tokens = len(batch) * (max(len(prompts[index]) for index in batch) + sampling.max_new_tokens)
        tried.append(tokens)
        assert all(cache() is None for cache in held)  # what a failed batch has taken is given back
        if tokens > tried[0] // 4:
            cache = Cache()
            held.append(weakref.ref(cache))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(batch, prompts, sampling)

    monkeypatch.setattr(engine, "_call", short_of_memory)
    found = by_index(engine.generate(prompts * 32, sampling))
    assert sorted(found) == list(range(128))
    assert all(row.finish != "error" for row in found.values())
    # The first batch and its halves fail, and no batch after them.
    assert len(held) == 3 and tried[1] > tried[0] // 4
    assert len(tried) > 7


def test_a_seed_decides_what_is_sampled(loaded, prompts, sampling):
    def drawn(seed):
        settings = Sampling(12, sampling.stop_ids, temperature=1.5, seed=seed)
        return [row.text for row in TransformersEngine(loaded).generate(prompts, settings)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_batches_respect_the_token_budget(loaded, prompts):
    engine = TransformersEngine(loaded, tokens_per_batch=80, max_rows=3)
    inputs = [prompt.ids for prompt in prompts * 3]
    batches = list(engine._batches(inputs, range(12), 10))
    assert sorted(index for batch in batches for index in batch) == list(range(12))
    for batch in batches:
        width = max(len(inputs[index]) for index in batch) + 10
        assert len(batch) == 1 or (len(batch) <= 3 and len(batch) * width <= 80)


@pytest.fixture(scope="module")
def chat(loaded):
    """Prompts that share their first 40 tokens and more, of different lengths."""
    prompts = Prompts(loaded.tokenizer, style="chat")
    shared = "The same long words stand before each of these texts, so that a cache pays. "
    return [prompts.reasoner_for_text(shared + text * (place + 1), "joy") for place, text in enumerate(TEXTS)]


def test_a_shared_prefix_changes_nothing(loaded, chat, sampling, monkeypatch):
    assert shared_prefix([prompt.ids for prompt in chat]) > 16
    cached = by_index(TransformersEngine(loaded).generate(chat, sampling))
    monkeypatch.setattr("whylabel.engines.transformers._LEAST_SHARED_TOKENS", 10_000)
    plain = by_index(TransformersEngine(loaded).generate(chat, sampling))
    assert {index: row.text for index, row in cached.items()} == {
        index: row.text for index, row in plain.items()
    }
    assert all(row.tokens for row in cached.values())


def test_a_long_row_does_not_change_short_ones_where_a_window_slides(tokenizer, tmp_path, sampling):
    settings = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MistralConfig(
        vocab_size=len(tokenizer), sliding_window=48, num_key_value_heads=1, initializer_range=0.3, **settings
    )
    torch.manual_seed(3)
    MistralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load(str(tmp_path), device="cpu")
    prefix = tuple(range(10, 30))
    short = [Prompt((*prefix, *range(40 + row, 50 + row))) for row in range(6)]
    long = Prompt((*prefix, *range(100, 200)))
    alone = by_index(TransformersEngine(loaded).generate(short, sampling))
    together = by_index(TransformersEngine(loaded).generate([*short, long], sampling))
    assert [alone[row].text for row in range(6)] == [together[row].text for row in range(6)]


def able(loaded, **ways):
    """A model that computes some ways wrong."""
    return replace(loaded, tried=replace(loaded.capabilities(64), **ways), _said=set())


def test_rows_are_written_alone_where_padding_would_change_them(loaded, chat, sampling, capsys):
    expected = by_index(TransformersEngine(loaded).generate(chat, sampling))
    assert "at a time" not in capsys.readouterr().err
    sizes, engine = [], TransformersEngine(able(loaded, left_padding=0, shared_prefix=0))
    call = engine._call
    engine._call = lambda batch, *rest: sizes.append(len(batch)) or call(batch, *rest)
    found = by_index(engine.generate(chat, sampling))
    assert sizes == [1] * len(chat)
    assert {index: row.text for index, row in found.items()} == {
        index: row.text for index, row in expected.items()
    }
    assert capsys.readouterr().err.count("rows are written one at a time") == 1


def test_a_beginning_that_rows_cannot_share_is_said_once(loaded, chat, sampling, monkeypatch, capsys):
    engine = TransformersEngine(able(loaded, shared_prefix=0), max_rows=2)
    monkeypatch.setattr(engine, "_cache", lambda prefix, _rows: {} if not prefix else None)
    expected = by_index(TransformersEngine(loaded).generate(chat, sampling))
    found = by_index(engine.generate(chat, sampling))
    assert {index: row.text for index, row in found.items()} == {
        index: row.text for index, row in expected.items()
    }
    assert capsys.readouterr().err.count("computed for every row") == 1


def test_a_row_that_does_not_fit_into_the_positions_fails_by_name(loaded, prompts, sampling):
    longest = max(len(prompt.ids) for prompt in prompts) + sampling.max_new_tokens
    engine = TransformersEngine(able(loaded, positions=longest - 1))
    found = by_index(engine.generate(prompts, sampling))
    failed = [row for row in found.values() if row.finish == "error"]
    assert len(found) == len(prompts) and len(failed) == 1
    assert failed[0].error == (
        f"{longest} tokens with those to be written, but the model has {longest - 1} positions"
    )


def test_the_shared_prefix_leaves_a_token_of_every_row():
    rows = [tuple(range(20)), tuple(range(20)), (*range(18), 5, 6, 7)]
    assert shared_prefix(rows) == 18
    assert shared_prefix([tuple(range(20))] * 3) == 19
    assert shared_prefix([(1, 2, 3), (1, 2, 4)]) == 0
    assert shared_prefix([tuple(range(50))]) == 0


def test_a_gpu_takes_more_rows_at_a_time():
    prompts = [[1] * 20] * 2000
    sizes = {}
    for device in ("cpu", "cuda"):
        engine = TransformersEngine(SimpleNamespace(device=torch.device(device)))
        sizes[device] = [len(batch) for batch in engine._batches(prompts, range(2000), new_tokens=30)]
    assert max(sizes["cpu"]) == 64
    assert max(sizes["cuda"]) == 1024
    assert sum(sizes["cpu"]) == sum(sizes["cuda"]) == 2000


def test_continuous_batching_says_the_same(loaded, chat, sampling):
    stop = TransformersEngine(loaded)._call([0], [chat[0].ids], sampling)[0][3]
    stopping = Sampling(12, (*sampling.stop_ids, stop))
    static = by_index(TransformersEngine(loaded).generate(chat, stopping))
    small = {"num_blocks": 16, "max_batch_tokens": 128}
    engine = TransformersEngine(loaded, continuous=True, paging=small)
    continuous = by_index(engine.generate(chat, stopping))
    fields = ("text", "tokens", "finish", "stop_id", "prompt_tokens")
    assert {index: [getattr(row, name) for name in fields] for index, row in continuous.items()} == {
        index: [getattr(row, name) for name in fields] for index, row in static.items()
    }
    assert static[0].finish == "stop"


def test_what_continuous_batching_leaves_undone_goes_the_plain_way(loaded, prompts, sampling, monkeypatch):
    engine = TransformersEngine(loaded, continuous=True)
    monkeypatch.setattr(engine, "_generate_continuously", lambda rows, ids, sampling: iter(()))
    assert sorted(by_index(engine.generate(prompts, sampling))) == [0, 1, 2, 3]
