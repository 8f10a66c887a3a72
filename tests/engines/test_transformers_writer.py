"""Rows that come and go are written as they would be alone."""

from dataclasses import replace

import pytest

from whylabel.engines.base import Sampling
from whylabel.engines.transformers import TransformersEngine
from whylabel.engines.transformers_writer import TransformersWriter
from whylabel.models.load import load
from whylabel.text.prompts import Prompt, Prompts

GREEDY = Sampling(12, ())


@pytest.fixture(scope="module")
def loaded(tiny_model_folder):
    import torch

    loaded = load(str(tiny_model_folder), device="cpu")
    with torch.no_grad():
        # The tiny model repeats its last token; with larger weights it writes something.
        for weight in loaded.model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    return loaded


@pytest.fixture(scope="module")
def prompts(loaded):
    made = Prompts(loaded.tokenizer)
    return [made.classifier("It rained " * number + "today", "reasoning_label") for number in range(1, 8)]


def alone(loaded, prompts, sampling=GREEDY):
    found = {}
    for number, ids in enumerate(prompts):
        (found[number],) = TransformersEngine(loaded).generate([Prompt(ids)], sampling)
    return found


def written(writer, rows):
    ended = []
    while not writer.is_idle:
        ended += writer.step()
    assert sorted(row.index for row in ended) == sorted(row.index for row in rows)
    return ended


def test_rows_that_join_at_different_times_are_written_as_alone(loaded, prompts):
    expected = alone(loaded, prompts)
    writer = TransformersWriter(loaded, tokens_per_step=40)
    rows, ended = [], []
    for number, ids in enumerate(prompts):
        rows.append(writer.submit(number, ids, GREEDY))
        ended += writer.step()
    while not writer.is_idle:
        ended += writer.step()
    assert len({tuple(row.generated) for row in rows}) > 1
    for row in rows:
        assert row.completion(loaded.tokenizer).text == expected[row.index].text
        assert row.completion(loaded.tokenizer).tokens == expected[row.index].tokens
    assert {row.index for row in ended} == set(range(len(prompts)))


def test_a_cancelled_row_leaves_the_others_as_they_were(loaded, prompts):
    expected = alone(loaded, prompts)
    writer = TransformersWriter(loaded)
    rows = [writer.submit(number, ids, GREEDY) for number, ids in enumerate(prompts)]
    for _ in range(3):
        writer.step()
    for number in (0, len(prompts) - 1):
        writer.cancel(rows[number])
    left = rows[1:-1]
    written(writer, left)
    for row in left:
        assert row.completion(loaded.tokenizer).text == expected[row.index].text
    assert len(rows[0].generated) == 3


def test_a_row_joins_when_the_last_one_ends(loaded, prompts):
    expected = alone(loaded, prompts)
    writer = TransformersWriter(loaded)
    short = writer.submit(0, prompts[0], replace(GREEDY, max_new_tokens=2))
    writer.step()
    late = writer.submit(1, prompts[1], GREEDY)
    written(writer, [short, late])
    assert late.completion(loaded.tokenizer).text == expected[1].text


def test_a_stop_token_ends_its_row_alone(loaded, prompts):
    tokens = list(alone_ids(loaded, prompts[0]))
    stop = tokens[4]
    writer = TransformersWriter(loaded)
    stopped = writer.submit(0, prompts[0], replace(GREEDY, stop_ids=(stop,)))
    other = writer.submit(1, prompts[0], GREEDY)
    written(writer, [stopped, other])
    assert stopped.generated == tokens[: tokens.index(stop) + 1]
    assert stopped.completion(loaded.tokenizer).stop_id == stop
    assert other.generated == tokens


def alone_ids(loaded, ids):
    writer = TransformersWriter(loaded)
    row = writer.submit(0, ids, GREEDY)
    written(writer, [row])
    return row.generated


def test_the_same_seed_draws_the_same_whoever_is_in_the_batch(loaded, prompts):
    drawn = Sampling(12, (), temperature=1.0, top_p=0.9, seed=5)
    writer = TransformersWriter(loaded)
    row = writer.submit(0, prompts[2], drawn)
    written(writer, [row])
    writer = TransformersWriter(loaded)
    rows = [writer.submit(number, ids, replace(drawn, seed=number)) for number, ids in enumerate(prompts)]
    again = writer.submit(9, prompts[2], drawn)
    written(writer, [*rows, again])
    assert again.generated == row.generated
    assert len({tuple(other.generated) for other in rows}) > 1


def test_a_prompt_that_no_model_computes_fails_alone(loaded, prompts, monkeypatch):
    capabilities = replace(loaded.capabilities(50), positions=2048)
    monkeypatch.setattr(type(loaded), "capabilities", lambda *_: capabilities)
    writer = TransformersWriter(loaded)
    rows = [
        writer.submit(0, [10**6], GREEDY),
        writer.submit(1, [], GREEDY),
        writer.submit(2, [5] * 2045, GREEDY),
        writer.submit(3, prompts[0], GREEDY),
    ]
    written(writer, rows)
    assert [row.error is not None for row in rows] == [True, True, True, False]
    assert "2057 tokens" in rows[2].error


def test_a_model_that_padding_changes_is_computed_a_row_at_a_time(loaded, prompts, monkeypatch):
    expected = alone(loaded, prompts)
    capabilities = loaded.capabilities(50)
    monkeypatch.setattr(type(loaded), "capabilities", lambda *_: replace(capabilities, left_padding=0))
    writer = TransformersWriter(loaded)
    rows = [writer.submit(number, ids, GREEDY) for number, ids in enumerate(prompts)]
    seen = []
    for _ in range(3):
        writer.step()
        seen.append([len(batch.rows) for batch in writer._batches])
    assert seen[-1] == [1, 1, 1]
    written(writer, rows)
    for row in rows:
        assert row.completion(loaded.tokenizer).text == expected[row.index].text


def test_a_failing_step_fails_its_rows_and_no_later_ones(loaded, prompts, monkeypatch):
    writer = TransformersWriter(loaded)
    row = writer.submit(0, prompts[0], GREEDY)
    writer.step()

    def broken(*_):
        raise RuntimeError("no memory\nfor this")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_forward", broken)
        assert writer.step() == [row]
    assert row.error == "for this"
    later = writer.submit(1, prompts[0], GREEDY)
    assert written(writer, [later]) == [later]
    assert later.error is None


def test_text_holds_back_half_a_character(loaded, prompts):
    ids = loaded.tokenizer.encode("ok 🙂", add_special_tokens=False)
    writer = TransformersWriter(loaded)
    row = writer.submit(0, prompts[0], GREEDY)
    texts = []
    for token in ids:
        row.generated.append(token)
        texts.append(row.text(loaded.tokenizer))
    assert texts[-1] == "ok 🙂"
    assert not any("�" in text for text in texts)
