from dataclasses import replace

import pytest
import torch
from families import build

from whylabel.data import load_reasoning
from whylabel.engines.base import Completion
from whylabel.errors import ModelError
from whylabel.models.load import LoadedModel, load, prepare_for_training
from whylabel.recipe import ReasonerConfig, ReasonerTrainingConfig
from whylabel.stages import reasoner
from whylabel.text.prompts import Prompts
from whylabel.training import loop


@pytest.fixture(scope="module")
def rows():
    return load_reasoning(ReasonerConfig(rows=24, validation_rows=6), seed=1)


def test_stage_one_learns_to_write_reasonings(tiny_model_folder, tmp_path, rows):
    train, held_out = rows
    loaded = load(str(tiny_model_folder), device="cpu")
    prepare_for_training(loaded)
    prompts = Prompts(loaded.tokenizer)
    before, _ = reasoner.gate(loaded, prompts, held_out, max_new_tokens=8)
    config = ReasonerConfig(
        training=ReasonerTrainingConfig(num_train_epochs=6, learning_rate=1e-2, per_device_train_batch_size=4)
    )
    figures = reasoner.train_reasoner(loaded, prompts, train, config, seed=1, checkpoints=tmp_path)
    after, written = reasoner.gate(loaded, prompts, held_out, max_new_tokens=8)
    assert figures["steps"] == 36
    assert figures["audit"]["rows"] == 24
    assert after["held_out_loss"] < before["held_out_loss"] - 0.5
    assert after["perplexity"] == pytest.approx(2.718281828 ** after["held_out_loss"], rel=1e-6)
    assert after["n"] == len(written) == 6
    assert 0 <= after["stopped_share"] <= 1
    assert set(after["length_quantiles"]) == {"0.05", "0.25", "0.5", "0.75", "0.95"}


@pytest.mark.parametrize("style", ["compact", "chat"])
@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 6), (1.0, 24)])
def test_a_share_of_the_rows_is_shown_without_its_answer(tokenizer, rows, style, share, count):
    prompts, (train, _) = Prompts(tokenizer, style), rows
    examples = reasoner.reasoner_examples(prompts, train, share, 1)
    without = []
    for row, example in zip(train, examples, strict=True):
        prompt = list(example.prompt_ids)
        # It is the very prompt with which augment asks, and what is learnt is the reasoning in any case.
        without.append(prompt == prompts.reasoner(row.question, None))
        assert without[-1] or prompt == prompts.reasoner(row.question, row.answer)
        assert ("\nAnswer:" in tokenizer.decode(prompt)) != without[-1]
        assert (
            example.completion_ids == prompts.reasoner_example(row.question, "", row.reasoning).completion_ids
        )
    assert sum(without) == count
    # Drawn with the seed, not the first ones.
    assert reasoner.reasoner_examples(prompts, train, share, 1) == examples
    if 0 < count < 24:
        assert not all(without[:count])
        assert reasoner.reasoner_examples(prompts, train, share, 2) != examples


def test_how_often_it_stops_is_measured_without_an_answer_in_the_prompt(tokenizer, rows, monkeypatch):
    prompts, (_, held_out) = Prompts(tokenizer), rows
    asked = []

    class Engine:
        def __init__(self, _loaded):
            pass

        def generate(self, inputs, sampling):
            asked.extend(tuple(prompt.ids) for prompt in inputs)
            for at in range(len(inputs)):
                yield Completion(at, "because", 9, 1, "length" if at else "stop")

    monkeypatch.setattr(reasoner, "TransformersEngine", Engine)
    assert reasoner.stopped_without_answer(None, prompts, held_out, max_new_tokens=4) == pytest.approx(1 / 6)
    assert asked == [tuple(prompts.reasoner(row.question, None)) for row in held_out]


def test_where_memory_runs_out_the_cure_is_a_field_of_the_reasoners_training(
    tiny_model_folder, tmp_path, rows, monkeypatch
):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 128.00 MiB.")

    monkeypatch.setattr(loop, "weighted_loss", full)
    loaded = load(str(tiny_model_folder), device="cpu")
    train, _ = rows
    with pytest.raises(ModelError) as raised:
        reasoner.train_reasoner(
            loaded, Prompts(loaded.tokenizer), train, ReasonerConfig(), seed=1, checkpoints=tmp_path
        )
    assert "set reasoner.training.tokens_per_batch=1024 " in raised.value.fix


def test_answer_recovery_rises_when_the_reasoning_gives_the_answer_away(tiny_model_folder, rows, monkeypatch):
    base = load(str(tiny_model_folder), device="cpu")
    prompts = Prompts(base.tokenizer)
    _, held_out = rows
    written = [(row, row.reasoning, True) for row in held_out]
    seen = []

    class Scorer:
        def __init__(self, _loaded, ids):
            self.ids = ids

        def log_scores(self, inputs):
            text = base.tokenizer.decode(inputs[0])
            seen.append(text)
            # The gold answer comes first among the candidates: told only where there is a reasoning.
            told = "Reasoning: \nAnswer:" not in text
            scores = [0.0 if told else -100.0, *([-50.0] * (len(self.ids) - 1))]
            import numpy as np

            return np.array([scores]) * [len(ids) for ids in self.ids]

    monkeypatch.setattr(reasoner, "LabelScorer", Scorer)
    found = reasoner.answer_recovery(base, prompts, written, seed=1)
    assert found == {"n": 6, "with_reasoning": 1.0, "without_reasoning": 0.0}
    for (row, _, _), text in zip(written, seen[::2], strict=True):
        reasoning = text.split("Reasoning:")[1].split("\nAnswer:")[0]
        assert row.answer.casefold() not in reasoning.casefold().split()


def test_held_out_rows_that_do_not_fit_into_the_positions_are_left_out_and_said(tokenizer, rows, capsys):
    loaded = LoadedModel(build("GPT-2", len(tokenizer), n_positions=512), tokenizer, "m")
    prompts = Prompts(tokenizer)
    _, held_out = rows
    long = replace(held_out[0], question="and so on " * 300)
    expected, _ = reasoner.gate(loaded, prompts, held_out[1:], max_new_tokens=4)
    found, written = reasoner.gate(loaded, prompts, [long, *held_out[1:]], max_new_tokens=4)
    assert found["held_out_loss"] == pytest.approx(expected["held_out_loss"])
    assert "1 of 6 held-out rows have more tokens than the model's 512 positions" in capsys.readouterr().err
    assert reasoner.answer_recovery(loaded, prompts, written, seed=1)["n"] == 5
