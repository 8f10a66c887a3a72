"""Whether a reasoning helps a reader to tell the label, where it does not name it."""

import random

import pytest

from whylabel.evaluation.paired import mcnemar_p
from whylabel.evaluation.simulatability import LEAST_ROWS, simulatability

LABELS = ("joyful", "fearful")
CUES = {"joyful": "laughter", "fearful": "trembling"}


def rows(reasoning, count=120):
    draw = random.Random(5)
    said = [LABELS[draw.random() < 0.5] for _ in range(count)]
    texts = [" ".join(draw.choices(["day", "house", "river", "tree", "road", "sky"], k=6)) for _ in said]
    return texts, [reasoning(label, draw) for label in said], said


def measured(reasoning, **values):
    texts, reasonings, said = rows(reasoning, **values)
    return simulatability(texts, reasonings, said, LABELS, seed=1)


def test_a_reasoning_that_shows_the_cue_helps():
    found = measured(lambda label, _: f"{CUES[label]} says it")
    assert found.n == 120 and found.masked.share == found.unmasked.share == 1
    assert found.text.share < 0.65
    assert found.gain == pytest.approx(found.masked.share - found.text.share)
    assert 0 < found.gain_ci95[0] < found.gain < found.gain_ci95[1]
    # No row is lost, so that all discordant ones are gained.
    assert found.mcnemar_p == pytest.approx(mcnemar_p(120 - found.text.count, 0))


def test_a_reasoning_that_only_names_its_label_does_not():
    found = measured(lambda label, _: f"so it is {label}, full of {label[:-3]}")
    assert found.unmasked.share == 1
    assert abs(found.gain) < 0.1 and found.gain_ci95[0] <= 0 <= found.gain_ci95[1]


def test_a_random_reasoning_does_not():
    found = measured(lambda _, draw: " ".join(draw.choices(["red", "blue", "green", "grey"], k=6)))
    assert found.gain_ci95[0] <= 0 <= found.gain_ci95[1]


def test_what_no_reader_can_learn_is_none():
    assert measured(lambda label, _: CUES[label], count=LEAST_ROWS - 1) is None
    assert measured(lambda label, _: " ") is None
    texts, reasonings, _ = rows(lambda label, _: CUES[label])
    assert simulatability(texts, reasonings, ["joyful"] * 119 + ["fearful"], LABELS, seed=1) is None
