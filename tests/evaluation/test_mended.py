"""Which answers the reasoning mended and broke."""

import pytest

from whylabel.evaluation.mended import answered, reasoning_effect
from whylabel.evaluation.paired import mcnemar_p
from whylabel.evaluation.predictions import PredictionRow
from whylabel.types import Prediction


def rows(model, mode, labels, gold="aaaaaaaa"):
    return [
        PredictionRow(model, f"text {at}", right, Prediction(str(at), label, (), mode=mode))
        for at, (label, right) in enumerate(zip(labels, gold, strict=True))
    ]


BASELINE = rows("baseline", "fast", "bbbbbbbb")
FAST = rows("classifier", "fast", "aabbbaab")
REASONED = rows("classifier", "reasoned", "abaaabab")


def test_the_same_model_at_once_is_what_reasoning_is_compared_with():
    found = reasoning_effect([*BASELINE, *FAST, *REASONED], "reasoned")
    assert (found.without, found.mode, found.n) == ("classifier", "reasoned", 8)
    # By hand: wrong then right are 2, 3, 4; right then wrong are 1, 5.
    assert (found.both_right, found.mended, found.broken, found.both_wrong) == (2, 3, 2, 1)
    assert found.mcnemar_p == pytest.approx(mcnemar_p(3, 2))


def test_else_it_is_the_baseline():
    found = reasoning_effect([*BASELINE, *REASONED], "reasoned")
    assert (found.without, found.mended, found.broken) == ("baseline", 5, 0)


def test_rows_are_joined_by_their_id():
    pairs = answered([*reversed(FAST), *REASONED], "reasoned")
    assert all(pair.without.prediction.id == pair.reasoned.prediction.id for pair in pairs)
    assert reasoning_effect([*reversed(FAST), *REASONED], "reasoned").mended == 3


@pytest.mark.parametrize(
    ("found", "mode"), [([*BASELINE, *FAST], "fast"), (REASONED, "reasoned"), ([*BASELINE], "reasoned")]
)
def test_without_two_answers_there_is_nothing_to_compare(found, mode):
    assert reasoning_effect(found, mode) is None and answered(found, mode) == ()
