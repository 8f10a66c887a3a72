from collections import Counter

import pytest

from whylabel.models.load import load, prepare_for_training
from whylabel.recipe import ClassifierConfig, ClassifierTrainingConfig
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import Prompts
from whylabel.text.several_labels import Separator
from whylabel.training.training_set import DecisionSet, TrainingSet
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


@pytest.mark.parametrize(
    ("rows", "at_once"), [([*ROWS[:1], *PLAIN], 4), (PLAIN, 4), ([*ROWS, *PLAIN[:1]], 2)]
)
def test_a_row_without_a_reasoning_is_shown_whatever_the_share(prompts, rows, at_once):
    shown_rows = shown(prompts, rows, "dual", reasoned_share=0.8)
    for epoch in range(3):
        found = texts(prompts, shown_rows.epoch(epoch))
        assert len({text for text in found if "plain" in text}) == sum(row in PLAIN for row in rows)
        assert sum("Reasoning:" not in text for text in found) == at_once


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


FEELINGS = LabelSet(("anger", "fear", "joy", "love", "sadness, deep"))
FELT = ["joy | love", "", "anger", "fear | joy | sadness, deep"]


def decisions(prompts, target="label", negatives=2, seed=7, **config):
    rows = [Example(f"p{at}", f"text {at}", label) for at, label in enumerate(FELT)]
    if target == "multi_task":
        rows[0] = ReasonedExample("p0", "text 0", FELT[0], "It glows.")
    settings = ClassifierConfig(target=target, negatives=negatives, **config)
    training = ClassifierTrainingConfig()
    return DecisionSet(
        prompts, rows, target, settings, training, seed, labels=FEELINGS, separator=Separator("|")
    )


def test_a_text_is_shown_with_all_its_labels_and_some_others(prompts):
    rows = decisions(prompts)
    for epoch in range(6):
        lines = texts(prompts, rows.epoch(epoch))
        assert (
            "text 0\nLabel: joy?⟦ yes<|im_end|>⟧" in lines and "text 0\nLabel: love?⟦ yes<|im_end|>⟧" in lines
        )
        assert len(lines) == len(set(lines)) == (2 + 2) + (0 + 2) + (1 + 2) + (3 + 2)
        assert sum("⟦ yes" in line for line in lines) == 6
        assert not [line for line in lines if line.startswith("text 1") and "⟦ yes" in line]


def test_other_labels_are_drawn_anew_in_each_epoch_by_the_seed(prompts):
    rows = decisions(prompts)
    assert rows.epoch(0) != rows.epoch(1) != rows.epoch(2)
    assert rows.epoch(1) == decisions(prompts).epoch(1) != decisions(prompts, seed=8).epoch(1)
    everything = {line for epoch in range(40) for line in texts(prompts, rows.epoch(epoch))}
    assert len(everything) == len(FELT) * len(FEELINGS)


def test_where_there_are_few_labels_all_are_shown(prompts):
    assert len(decisions(prompts, negatives=50).epoch(0)) == len(FELT) * len(FEELINGS)


def test_reasonings_are_a_task_beside_the_decisions(prompts):
    lines = texts(prompts, decisions(prompts, "multi_task").epoch(0))
    assert lines.count("text 0\nReasoning:⟦ It glows.<|im_end|>⟧") == 1
    assert len(lines) == 14 + 1


def test_the_longest_decision_of_a_text_stands_for_all_when_they_are_checked(prompts):
    rows = decisions(prompts, "multi_task")
    checked = [(row_id, prompts.mark(row)) for row_id, row in rows.every()]
    assert ("p3", "text 3\nLabel: sadness, deep?⟦ yes<|im_end|>⟧") in checked
    assert ("p1", "text 1\nLabel: sadness, deep?⟦ no<|im_end|>⟧") in checked
    assert ("p0", "text 0\nReasoning:⟦ It glows.<|im_end|>⟧") in checked
    assert len(checked) == len(FELT) + 1
    longest = {row_id: len(row) for row_id, row in rows.every() if row_id != "p0"}
    for example in rows.epoch(0):
        place = prompts.mark(example)[5]
        assert len(example) <= longest.get(f"p{place}", 1000)
