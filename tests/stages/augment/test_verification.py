from dataclasses import replace

import numpy as np
import pytest

from whylabel.models.load import load, prepare_for_training
from whylabel.prediction.scoring import probabilities, score_one_by_one
from whylabel.stages.augment.verification import Verifier, mask_labels
from whylabel.text.labels import LabelSet
from whylabel.text.prompts import Prompts
from whylabel.types import Lift, ReasonedExample

LABELS = LabelSet(("joy", "fear", "sadness"))
ROWS = [
    ReasonedExample("1", "It was bright.", "joy", 'The word "bright" tells of joy.'),
    ReasonedExample("2", "It was bright.", "joy", "Nothing here points to fear."),
    ReasonedExample("3", "It was grey.", "sadness", "Grey is a dull colour."),
]


@pytest.fixture(scope="module")
def loaded(tiny_model_folder):
    loaded = load(str(tiny_model_folder), device="cpu")
    prepare_for_training(loaded)
    return loaded


@pytest.mark.parametrize("trained", [False, True])
def test_a_lift_is_the_change_of_the_log_probability(loaded, trained):
    prompts = Prompts(loaded.tokenizer, question="Which emotion?", name="Emotion")
    verifier = Verifier(loaded, prompts, LABELS, trained)
    found = verifier.lifts(ROWS)
    for row, lift in zip(ROWS, found, strict=True):
        masked = mask_labels(row.reasoning, row.label, LABELS)
        if trained:
            inputs = [prompts.classifier(text, "label") for text in (f"{row.text}\n{masked}", row.text)]
            continuations = [prompts.label_ids(name) for name in LABELS.names]
        else:
            question = f"{row.text}\nWhich emotion?"
            inputs = [prompts.recovery(question, reasoning) for reasoning in (masked, "")]
            continuations = [prompts.answer_ids(name) for name in LABELS.names]
        after, before = np.log(probabilities(score_one_by_one(loaded, inputs, continuations)))
        gold = LABELS.index(row.label)
        rival = max(
            (name for name in LABELS.names if name != row.label), key=lambda name: after[LABELS.index(name)]
        )
        at = LABELS.index(rival)
        assert lift.gold == pytest.approx(after[gold] - before[gold], abs=1e-3)
        assert (lift.rival, lift.rival_lift) == (rival, pytest.approx(after[at] - before[at], abs=1e-3))


@pytest.mark.parametrize("trained", [False, True])
def test_long_texts_are_trimmed_and_reasonings_are_not(loaded, trained):
    prompts = Prompts(loaded.tokenizer, question="Which emotion?", name="Emotion")
    verifier = Verifier(loaded, prompts, LABELS, trained, max_text_tokens=12)
    text = "It was bright, and then it was grey, and then it was bright again. " * 50
    row = ReasonedExample(
        "1", text, "joy", "A reason that is by itself longer than the twelve tokens of a text."
    )
    assert verifier.lifts([row]) == verifier.lifts([replace(row, text=prompts.trim(text, 12))])
    unlimited = Verifier(loaded, prompts, LABELS, trained)
    assert verifier.lifts(ROWS[:1]) == unlimited.lifts(ROWS[:1])


def test_a_margin_is_the_gold_lift_above_the_rivals():
    assert Lift(0.5, "fear", -0.25).margin == 0.75


def test_the_label_and_every_label_that_is_named_are_masked():
    assert mask_labels("Not fear but joy, and grey.", "joy", LABELS) == "Not ___ but ___, and grey."
    many = LabelSet(("card arrival", "card not working", "lost card"))
    masked = mask_labels("The card never came, so it is card arrival.", "card arrival", many)
    assert "arrival" not in masked
    assert "never came" in masked
    # However a reasoning writes them: a rival that can be read would speak for itself.
    feelings = LabelSet(("anger", "sadness", "joy"))
    assert mask_labels("The writer is sad and joyful, not angry.", "anger", feelings) == (
        "The writer is ___ and ___, not ___."
    )
    joined = LabelSet(("card_arrival", "lost_card"))
    assert mask_labels("It is about card arrival.", "lost_card", joined) == "It is about ___ ___."
