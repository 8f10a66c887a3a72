"""What is counted of the reasonings, from predictions alone."""

from __future__ import annotations

import pytest

from whylabel.evaluation import quality
from whylabel.evaluation.metrics import wilson_interval
from whylabel.evaluation.predictions import PredictionRow, by_model_and_mode
from whylabel.evaluation.quality import explaining_mode, quality_by_mode, reasoning_quality
from whylabel.types import Prediction

LABELS = ("joy", "anger", "fear")


def row(
    number: int,
    reasoning: str | None,
    status: str | None = "ok",
    label: str = "joy",
    disagrees: bool | None = False,
    mode: str = "reasoned",
    model: str = "classifier",
) -> PredictionRow:
    prediction = Prediction(
        str(number),
        label,
        (1.0, 0.0, 0.0),
        reasoning,
        mode,
        reasoning_status=status,
        disagrees=disagrees,
    )
    return PredictionRow(model, f"I laughed all day, number {number}", "joy", prediction)


ROWS = [
    row(0, "'laughed all day' means mirth; the writer is glad, so it is joy."),
    row(
        1, "'laughed all day' and 'number 1' tell of a good day with friends.", "afterthought", disagrees=True
    ),
    row(2, "'wept' and 'laughed all day' are at odds here, and this stands.", "withheld: ungrounded"),
    row(3, "Somebody is cross at the neighbours, so it is anger.", "withheld: contradiction", disagrees=None),
    row(4, "Nobody was ever as glad as this writer is today.", "withheld: ungrounded"),
    row(5, "Nobody was ever as glad as this writer is today.", "ok", disagrees=True),
    row(6, None, None, disagrees=None),
    row(7, None, None, disagrees=None),
]


def test_every_measure_counts_what_it_says():
    found = reasoning_quality(ROWS, LABELS)
    assert found is not None

    def pairs(*shares):
        return [(each.count, each.n) for each in shares]

    assert pairs(found.written, found.shown, found.afterthoughts, found.withheld) == [
        *((6, 8), (2, 6), (1, 6), (3, 6))
    ]
    assert list(found.withheld_by_reason) == ["ungrounded", "contradiction"]
    assert pairs(*found.withheld_by_reason.values()) == [(2, 6), (1, 6)]
    # One of the six says nothing of the answer without its reasoning.
    assert pairs(found.disagrees) == [(2, 5)]
    every, seen = found.content, found.content_for_readers
    assert pairs(every.quoting, every.grounded, every.contradictions, every.near_duplicates) == [
        *((3, 6), (2, 3), (1, 6), (1, 6))
    ]
    # The first of two equal reasonings is withheld: no reader sees the same twice.
    assert pairs(seen.quoting, seen.grounded, seen.contradictions, seen.near_duplicates) == [
        *((2, 3), (2, 2), (0, 3), (0, 3))
    ]
    assert found.written.share == 0.75 and found.written.ci95 == wilson_interval(6, 8)


def test_a_share_of_nothing_is_none():
    found = reasoning_quality([row(0, "It is a fine day for the writer.", None, disagrees=None)], LABELS)
    assert found is not None
    # A prediction of an older whylabel has no status.
    assert found.shown is found.afterthoughts is found.withheld is found.disagrees is None
    assert found.withheld_by_reason == {} and found.content.grounded is None
    assert found.content.quoting is not None and found.content.quoting.share == 0


def test_modes_are_counted_apart_and_those_without_reasonings_not_at_all():
    rows = [
        row(0, "a fine day for the writer, joy", mode="reasoned"),
        row(0, None, None, mode="fast"),
        row(0, "a fine day for the writer, joy", "afterthought", mode="blend"),
        row(0, "what a baseline says", model="baseline"),
    ]
    found = quality_by_mode(by_model_and_mode(rows), LABELS)
    assert list(found) == ["reasoned", "blend"]
    assert [quality.afterthoughts.count for quality in found.values()] == [0, 1]
    assert reasoning_quality([rows[1]], LABELS) is None and quality_by_mode({}, LABELS) == {}


@pytest.mark.parametrize(
    ("default", "modes", "expected"),
    [
        ("blend", ("fast", "reasoned", "blend"), "blend"),
        ("fast", ("adaptive", "blend", "fast", "reasoned"), "reasoned"),
        ("adaptive", ("adaptive", "blend"), "blend"),
        ("fast", (), "fast"),
    ],
)
def test_the_mode_that_explains_is_the_default_one_or_the_first_that_always_writes(default, modes, expected):
    assert (
        explaining_mode({"classifier": {"mode": default}, "modes": {mode: {} for mode in modes}}) == expected
    )


def test_of_very_many_reasonings_the_first_are_compared_with_each_other(monkeypatch):
    rows = [row(at, "It is a fine day for the writer.") for at in range(4)]
    monkeypatch.setattr(quality, "_MOST_COMPARED", 3)
    found = reasoning_quality(rows, LABELS).content
    assert (found.near_duplicates.count, found.near_duplicates.n, found.contradictions.n) == (2, 3, 4)
