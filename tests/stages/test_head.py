import numpy as np
import pytest
import torch

from whylabel.errors import ModelError
from whylabel.models.load import load
from whylabel.recipe import TrainingConfig
from whylabel.stages.head import steps_for_flops, train_head

CONFIG = TrainingConfig(learning_rate=1e-2, per_device_train_batch_size=8, dtype="float32", warmup_steps=0)
# Rows of noise; one token says the label.
ROWS = [[5 + (at * 7) % 60, 10 + at % 9, 200 + at % 3, *([9] * (at % 4))] for at in range(48)]
GOLD = np.eye(3)[[at % 3 for at in range(48)]]


@pytest.fixture
def core(tiny_model_folder):
    return load(str(tiny_model_folder), device="cpu", dtype="float32").model.base_model


@pytest.mark.parametrize("mean", [True, False])
def test_a_head_learns_what_gives_the_label_away(core, mean):
    counted = []
    head = train_head(core, ROWS, GOLD, CONFIG, 40, 1, several=False, mean=mean, done=counted.append)
    found = head.scores(ROWS)
    assert (found.argmax(axis=1) == GOLD.argmax(axis=1)).mean() > 0.95 and sum(counted) == 40
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, atol=1e-6)


def test_each_label_can_be_decided_by_itself(core):
    gold = np.stack([GOLD[:, 0] + GOLD[:, 1], GOLD[:, 2], 0 * GOLD[:, 0]], axis=1)
    head = train_head(core, ROWS, gold, CONFIG, 60, 1, several=True, mean=False)
    found = head.scores(ROWS) > 0
    assert (found == (gold > 0)).mean() > 0.95


def test_scores_are_of_the_last_token_or_of_the_mean_whatever_stands_beside_a_row(core):
    for mean in (True, False):
        head = train_head(core, ROWS, GOLD, CONFIG, 2, 1, several=False, mean=mean)
        together = head.scores(ROWS[:5])
        for row, scores in zip(ROWS[:5], together, strict=True):
            with torch.no_grad():
                states = core(torch.tensor([row])).last_hidden_state[0]
                vector = states.mean(dim=0) if mean else states[-1]
                expected = torch.log_softmax(head.layer(vector), dim=-1)
            np.testing.assert_allclose(scores, expected.numpy(), atol=1e-5)


def test_a_step_in_parts_is_the_same_step(tiny_model_folder):
    heads = []
    for tokens in (2048, 32):
        core = load(str(tiny_model_folder), device="cpu", dtype="float32").model.base_model
        config = CONFIG.model_copy(update={"tokens_per_batch": tokens})
        heads.append(train_head(core, ROWS, GOLD, config, 3, 1, several=False, mean=False))
    np.testing.assert_allclose(heads[0].scores(ROWS), heads[1].scores(ROWS), atol=1e-3)


def test_the_budget_is_spent_in_steps():
    # An epoch of 48 rows takes 6 steps and 100 FLOPs.
    assert steps_for_flops(48, 100.0, 250.0, CONFIG) == 15
    assert steps_for_flops(48, 100.0, 0.1, CONFIG) == 1


def test_a_training_that_diverges_is_said(core):
    config = CONFIG.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(ModelError, match="diverged"):
        train_head(core, ROWS, GOLD, config, 5, 1, several=False, mean=False)
