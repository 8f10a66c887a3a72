import pytest

from whylabel.engines import Sampling
from whylabel.engines.transformers import TransformersEngine
from whylabel.models import load
from whylabel.prompts import Prompts

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


def test_a_seed_decides_what_is_sampled(loaded, prompts, sampling):
    def drawn(seed):
        settings = Sampling(12, sampling.stop_ids, temperature=1.5, seed=seed)
        return [row.text for row in TransformersEngine(loaded).generate(prompts, settings)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_batches_respect_the_token_budget(loaded, prompts):
    engine = TransformersEngine(loaded, tokens_per_batch=80, max_rows=3)
    inputs = [prompt.ids for prompt in prompts * 3]
    batches = list(engine._batches(inputs, 10))
    assert sorted(index for batch in batches for index in batch) == list(range(12))
    for batch in batches:
        width = max(len(inputs[index]) for index in batch) + 10
        assert len(batch) == 1 or (len(batch) <= 3 and len(batch) * width <= 80)
