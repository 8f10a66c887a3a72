"""Whether planted models come out as they were planted, and the figures by hand."""

import random
from dataclasses import replace
from statistics import mean

import numpy as np
import pytest

from whylabel.evaluation.faithfulness import MOST_RIVALS, SHARES, measure, use_of
from whylabel.evaluation.metrics import wilson_interval
from whylabel.evaluation.predictions import PredictionRow
from whylabel.text.labels import LabelSet
from whylabel.types import Prediction

LABELS = LabelSet(("joy", "fear", "love"))
SURE = np.log([0.9, 0.05, 0.05])


def scores(label):
    return np.roll(SURE, LABELS.index(label))


def by_text(text):
    """Return the label that the last letter of a text stands for."""
    return LABELS.names["abc".index(text[-1])]


def ignoring(texts, reasonings):
    """A model that does not look at its reasoning."""
    return np.array([scores(by_text(text)) for text in texts])


def reading(texts, reasonings):
    """A model that takes the label that its reasoning names last; where it names none, it is `joy`."""
    found = []
    for reasoning in reasonings:
        named = [word for word in reasoning.replace(".", "").split() if word in LABELS.names]
        found.append(scores(named[-1] if named else "joy"))
    return np.array(found)


def arguing(texts, labels):
    return [f"The words of {text} point to {label}." for text, label in zip(texts, labels, strict=True)]


def silent(texts, labels):
    """A reasoner that writes nothing."""
    return [None] * len(texts)


def planted(count=60, reasoning="It is said here, so it is {label}."):
    rows = []
    for number in range(count):
        text = f"text {number} {'abc'[number % 3]}"
        label = by_text(text)
        said = Prediction(str(number), label, (), reasoning.format(label=label), mode="reasoned")
        rows.append(PredictionRow("classifier", text, label, said))
    return rows


def random_reasonings(rows):
    draw = random.Random(1)
    said = [
        " ".join(draw.choices(["red", "green", "blue", "joy", "fear", "love", "table", "chair"], k=8))
        for _ in rows
    ]
    return [
        replace(row, prediction=replace(row.prediction, reasoning=text))
        for row, text in zip(rows, said, strict=True)
    ]


def test_a_reasoning_that_is_random_comes_out_as_not_used():
    rows = random_reasonings(planted())
    found = measure(rows, rows, LABELS, ignoring, arguing, seed=1)
    every = [*found.early.values(), *found.interventions.values()]
    assert len(found.early) == len(SHARES) and len(found.interventions) == 5
    assert all(each.changed.count == 0 and each.right.share == 1 for each in every)
    assert all((each.lost, each.lost_ci95) == (pytest.approx(0), pytest.approx((0, 0))) for each in every)
    assert found.interventions["argued"].follows.share == 0
    assert use_of(found) == "hardly"


def test_a_label_that_is_read_off_the_reasoning_comes_out_as_used():
    rows = planted()
    found = measure(rows, rows, LABELS, reading, arguing, seed=1)
    assert use_of(found) == "follows"
    argued = found.interventions["argued"]
    assert (argued.n, argued.follows.n, argued.follows.share, argued.changed.share) == (60, 120, 1, 1)
    assert argued.lost == pytest.approx(0.85)
    # Of another text with the same label it says the same; with another label it leads there.
    assert found.interventions["another_text"].changed.count == 0
    assert found.interventions["another_label"].follows.share == 1
    # Without a word of it, two labels in three become the first one; filler says as little.
    for nothing in (found.early["0"], found.interventions["filler"]):
        assert nothing.changed.count == 40 and nothing.right.count == 20
    # The label is named last.
    assert found.early["0.75"].changed.count == 40


def test_a_model_that_sometimes_listens_uses_it_in_part():
    def listening(texts, reasonings):
        heard, own = reading(texts, reasonings), ignoring(texts, reasonings)
        deaf = np.array([int(text.split()[1]) % 4 < 3 for text in texts])
        return np.where(deaf[:, None], own, heard)

    rows = planted(80)
    assert use_of(measure(rows, rows, LABELS, listening, arguing, seed=1)) == "in part"


def test_few_rows_or_no_other_label_are_not_enough_to_tell():
    rows = planted(9)
    assert use_of(measure(rows, rows, LABELS, ignoring, arguing, seed=1)) == "unclear"
    same = [row for row in planted() if row.gold == "joy"]
    found = measure(same, same, LABELS, ignoring, silent, seed=1)
    assert "another_label" not in found.interventions and use_of(found) == "unclear"


def test_what_is_read_is_what_was_done():
    asked = []

    def noting(texts, reasonings):
        asked.extend(reasonings)
        return ignoring(texts, reasonings)

    (row,) = planted(1, "one two three four, five six seven eight.")
    other = replace(
        row, text="another b", prediction=replace(row.prediction, label="joy", reasoning="not mine")
    )
    measure([row], [row, other], LABELS, noting, silent, seed=1)
    assert asked[:5] == [
        "one two three four, five six seven eight.",
        "",
        "one two",
        "one two three four",
        "one two three four, five six",
    ]
    assert asked[5] == "not mine"
    assert (
        sorted(asked[6].split()) == sorted(row.prediction.reasoning.split())
        and asked[6] != row.prediction.reasoning
    )
    assert asked[7] == " ".join(["..."] * 8)


def test_intervals_take_the_reasonings_of_a_text_for_one():
    rows = planted(20)
    heard = {row.text for row in rows[:10]}

    def half(texts, reasonings):
        return np.where(
            np.array([text in heard for text in texts])[:, None],
            reading(texts, reasonings),
            ignoring(texts, reasonings),
        )

    argued = measure(rows, rows, LABELS, half, arguing, seed=1).interventions["argued"]
    assert (argued.follows.count, argued.follows.n) == (20, 40)
    assert argued.follows.ci95 == wilson_interval(10, 20)
    # Half of the texts lose 0.85: the normal approximation over texts.
    spread = 1.96 * 0.85 * 0.5 / np.sqrt(20)
    assert argued.lost == pytest.approx(0.425)
    assert argued.lost_ci95 == pytest.approx((0.425 - spread, 0.425 + spread), abs=0.05)


def test_what_could_not_be_read_or_written_is_left_out():
    rows = planted(30)

    def failing(texts, reasonings):
        found = ignoring(texts, reasonings)
        found[[place for place, text in enumerate(texts) if text.startswith("text 3 ")]] = np.nan
        found[[place for place, reasoning in enumerate(reasonings) if reasoning.startswith("...")]] = np.nan
        return found

    found = measure(rows, rows, LABELS, failing, silent, seed=1)
    assert found.n == 29 and "filler" not in found.interventions and "argued" not in found.interventions
    assert measure([], rows, LABELS, failing, silent, seed=1) is None
    assert measure([rows[3]], rows, LABELS, failing, silent, seed=1) is None


def test_of_many_labels_the_most_probable_others_are_argued_for():
    many = LabelSet(tuple(f"l{number}" for number in range(9)))
    asked = []

    def argue(texts, labels):
        asked.extend(labels)
        return [f"it is {label}" for label in labels]

    row = PredictionRow("classifier", "a", "l0", Prediction("1", "l0", (), "so", mode="reasoned"))
    measure([row], [row], many, lambda texts, _: np.tile(-np.arange(9.0), (len(texts), 1)), argue, seed=1)
    assert asked == [f"l{number}" for number in range(1, MOST_RIVALS + 1)]


def test_the_seed_decides_what_is_exchanged():
    rows = planted()
    draws = []
    for seed in (1, 1, 2):
        asked = []

        def noting(texts, reasonings, asked=asked):
            asked.extend(zip(texts, reasonings, strict=True))
            return reading(texts, reasonings)

        measure(random_reasonings(rows), random_reasonings(rows), LABELS, noting, silent, seed=seed)
        draws.append(asked)
    assert draws[0] == draws[1] != draws[2]
    assert mean(len(draw) for draw in draws) > 60


@pytest.mark.parametrize("mode", ["blend", "vote"])
def test_a_reasoning_that_is_lent_stands_for_the_label_after_it(mode):
    # The blend says another label than the one that follows from its reasoning alone.
    rows = [
        replace(
            row,
            prediction=replace(
                row.prediction, mode=mode, label=LABELS.names[(LABELS.index(row.prediction.label) + 1) % 3]
            ),
        )
        for row in planted()
    ]
    found = measure(rows, rows, LABELS, reading, arguing, seed=1).interventions
    assert found["another_text"].changed.count == 0
    assert found["another_label"].follows.share == 1 and found["another_label"].changed.share == 1
