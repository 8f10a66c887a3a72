from collections import Counter

import pytest

from whylabel.models import load, prepare_for_training
from whylabel.prompts import Prompts
from whylabel.recipe import ClassifierConfig, ClassifierTrainingConfig
from whylabel.training_set import TrainingSet
from whylabel.types import Example, ReasonedExample

LABELS = ["joy", "fear", "joy", "joy"]


@pytest.fixture(scope="module")
def prompts(tiny_model_folder):
    loaded = load(str(tiny_model_folder), device="cpu")
    prepare_for_training(loaded)
    return Prompts(loaded.tokenizer)


def reasoned(number, *reasonings, weight=1.0):
    label = LABELS[number % 4]
    return ReasonedExample(
        f"r{number}", f"text {number}", label, reasonings[0], candidates=reasonings, weight=weight
    )


ROWS = [reasoned(number, f"why {number}", f"because {number}") for number in range(8)]
PLAIN = [Example(f"p{number}", f"plain {number}", LABELS[number % 4]) for number in range(4)]


def shown(prompts, rows, target, training=None, **config):
    training = ClassifierTrainingConfig(**(training or {}))
    return TrainingSet(prompts, rows, target, ClassifierConfig(target=target, **config), training, 7)


def texts(prompts, examples):
    return [prompts.mark(row) for row in examples]


def test_every_form_is_written_as_it_should_be(prompts):
    row = [reasoned(0, "It glows.")]
    expected = {
        "label": ["text 0\nLabel:⟦ joy<|im_end|>⟧"],
        "reasoning_label": ["text 0\nReasoning:⟦ It glows.<|label|> joy<|im_end|>⟧"],
        "label_reasoning": ["text 0\nLabel:⟦ joy<|label|> It glows.<|im_end|>⟧"],
        "dual": ["text 0\nLabel:⟦ joy<|im_end|>⟧", "text 0\nReasoning:⟦ It glows.<|label|> joy<|im_end|>⟧"],
        "multi_task": ["text 0\nLabel:⟦ joy<|im_end|>⟧", "text 0\nReasoning:⟦ It glows.<|im_end|>⟧"],
    }
    for target, lines in expected.items():
        assert texts(prompts, shown(prompts, row, target).epoch(0)) == lines


def test_the_label_with_its_end_is_marked(prompts):
    for target in ("label", "reasoning_label", "label_reasoning"):
        (example,) = shown(prompts, [reasoned(0, "It glows.")], target).epoch(0)
        label = example.completion_ids[example.label_start : example.label_end]
        form = "label" if target == "reasoning_label" else target
        assert list(label) == prompts.label_ids("joy", form)
    _, task = shown(prompts, [reasoned(0, "It glows.")], "multi_task").epoch(0)
    assert task.label_start == task.label_end


@pytest.mark.parametrize(("share", "at_once", "with_reasoning"), [(0.5, 8, 8), (0.2, 8, 2), (0.8, 2, 8)])
def test_the_share_of_reasoned_examples(prompts, share, at_once, with_reasoning):
    rows = shown(prompts, ROWS, "dual", reasoned_share=share)
    for epoch in range(3):
        counts = Counter(row.label_start > 0 for row in rows.epoch(epoch))
        assert counts == {False: at_once, True: with_reasoning}
    if share != 0.5:
        assert rows.epoch(0) != rows.epoch(1)
    assert rows.epoch(1) == shown(prompts, ROWS, "dual", reasoned_share=share).epoch(1)


def test_a_row_without_a_reasoning_is_answered_at_once(prompts):
    examples = shown(prompts, [*ROWS, *PLAIN], "dual").epoch(0)
    assert sum("plain" in text for text in texts(prompts, examples)) == 4
    assert len(examples) == 12 + 8


def test_reasonings_take_turns(prompts):
    rows = shown(prompts, ROWS[:1], "reasoning_label", reasonings_per_text=2)
    found = [texts(prompts, rows.epoch(epoch))[0] for epoch in range(3)]
    assert "why 0" in found[0] and "because 0" in found[1]
    assert found[2] == found[0]
    assert {row_id for row_id, _ in rows.every()} == {"r0"} and len(rows.every()) == 2
    assert rows.reasonings() == ["why 0", "because 0"]
    once = shown(prompts, ROWS[:1], "reasoning_label")
    assert once.epoch(0) == once.epoch(1)


def test_rows_weigh_what_the_verifier_and_their_label_say(prompts):
    rows = [reasoned(0, "why", weight=0.5), *ROWS[1:4]]
    at_once, *_ = shown(prompts, rows, "label").epoch(0)
    assert at_once.weight == 1.0
    assert shown(prompts, rows, "reasoning_label").epoch(0)[0].weight == 0.5
    balanced = shown(prompts, rows, "reasoning_label", {"class_weight": "balanced"}).epoch(0)
    assert [row.weight for row in balanced] == pytest.approx([0.5 * 4 / 6, 4 / 2, 4 / 6, 4 / 6])


def test_balanced_sampling_shows_rare_labels_as_often(prompts):
    rows = shown(prompts, ROWS[:4], "label", {"balanced_sampling": True}).epoch(0)
    assert len(rows) == 6
    assert sum("fear" in text for text in texts(prompts, rows)) == 3
