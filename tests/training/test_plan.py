import pytest

from whylabel.models.flops import Flops
from whylabel.recipe import TrainingConfig
from whylabel.text.prompts import Rendered
from whylabel.training.plan import Plan

FLOPS = Flops(per_position=100, per_pair=1, per_logits=10)
ROWS = [Rendered(tuple(range(3 + place % 5)), (7,) * (1 + place % 4), 0, 1) for place in range(50)]


def plan(rows=ROWS, processes=1, **settings):
    config = TrainingConfig(**{"per_device_train_batch_size": 8, "num_train_epochs": 2, **settings})
    return Plan(lambda _epoch: rows, config, 5, FLOPS, processes)


def seen(steps):
    return [sorted(id(row) for row in step.rows) for step in steps]


def test_every_row_is_seen_once_an_epoch():
    steps = list(plan().steps())
    assert plan().count() == len(steps) == 14
    for epoch in (0, 1):
        found = [id(row) for step in steps if step.epoch == epoch for row in step.rows]
        assert sorted(found) == sorted(map(id, ROWS))
    assert seen(steps[:7]) != seen(steps[7:])


def test_part_of_an_epoch():
    assert plan(num_train_epochs=1.5).count() == 7 + 4
    assert plan(num_train_epochs=0.01).count() == 1


def test_few_rows_are_shown_more_often():
    # Seven steps an epoch: two epochs are enough, or two more steps are not.
    assert plan(min_steps=14).count() == plan(min_steps=3).count() == 14
    assert plan(min_steps=16).count() == 16
    assert plan(num_train_epochs=1.5, min_steps=13).count() == 13
    assert plan(min_steps=40, max_steps=3).count() == 3
    steps = list(plan(min_steps=30).steps())
    assert len(steps) == 30 and [step.epoch for step in steps] == [place // 7 for place in range(30)]
    assert seen(plan(min_steps=30).steps(20)) == seen(steps[20:])


def test_a_later_start_sees_what_it_would_have_seen():
    assert seen(plan().steps(5)) == seen(list(plan().steps())[5:])


def test_steps_are_the_same_whatever_the_memory_and_the_processes():
    expected = seen(plan(per_device_train_batch_size=8).steps())
    assert seen(plan(tokens_per_batch=32).steps()) == expected
    assert seen(plan(per_device_train_batch_size=4, gradient_accumulation_steps=2).steps()) == expected
    assert seen(plan(per_device_train_batch_size=4, processes=2).steps()) == expected


def test_batches_keep_to_the_budget_of_tokens():
    steps = list(plan(tokens_per_batch=32).steps())
    assert any(len(step.batches) > 1 for step in steps)
    for step in steps:
        assert all(len(batch) * max(map(len, batch)) <= 32 for batch in step.batches)


def test_budgets():
    assert plan(max_steps=3).count() == 3
    assert plan(max_steps=30).count() == 30
    steps = list(plan(max_supervised_tokens=100).steps())
    taught = [sum(len(row.completion_ids) for row in step.rows) for step in steps]
    assert sum(taught[:-1]) < 100 <= sum(taught)
    limited = plan(max_train_flops=1e5)
    spent = [sum(limited.cost(row) for row in step.rows) for step in limited.steps()]
    assert sum(spent[:-1]) < 1e5 <= sum(spent)
    assert plan(max_train_flops=1e5, max_steps=2).count() == 2


def test_packs_are_full_and_whole():
    steps = list(plan(packing=True, max_length=40, per_device_train_batch_size=2).steps())
    packs = [batch for step in steps if step.epoch == 0 for batch in step.batches]
    assert sorted(id(row) for pack in packs for row in pack) == sorted(map(id, ROWS))
    assert all(sum(map(len, pack)) <= 40 for pack in packs)
    assert len(packs) < 15


def test_the_cost_of_a_row():
    row = Rendered((1, 2, 3), (4, 5), 0, 2)
    forward = 5 * 100 + (1 + 2 + 3 + 4 + 5) * 1 + 2 * 10
    assert plan().cost(row) == 3 * forward
    assert plan(method="lora").cost(row) == 2 * forward
    assert plan(gradient_checkpointing=True).cost(row) == 4 * forward


def counted(model):
    """Return what torch counts of one position."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.ones(1, 1, dtype=torch.long))
    return counter.get_total_flops()


def test_flops_of_a_model(loaded):
    # torch counts the attention of a single position, too, but no more than it.
    assert counted(loaded.model) == pytest.approx(Flops.of(loaded.model).forward(1, 1), rel=0.02)


def test_flops_of_layers_that_are_not_called_linear():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=2))
    assert counted(model) == pytest.approx(Flops.of(model).forward(1, 1), rel=0.02)


def test_of_a_mixtures_experts_those_of_a_token_count():
    from transformers import MixtralConfig, MixtralForCausalLM

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MixtralConfig(vocab_size=100, num_key_value_heads=2, num_local_experts=4, **shape)
    attention, router, expert = 4 * 32 * 32, 4 * 32, 3 * 32 * 64
    of_a_layer = attention + router + config.num_experts_per_tok * expert
    assert Flops.of(MixtralForCausalLM(config)).per_position == 2 * 2 * of_a_layer
