"""Which answers the reasoning mended and broke."""

import pytest

from whylabel.evaluation.mended import answered_twice, reasoning_effect
from whylabel.evaluation.outcomes import Predictions
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


def effect_of(found):
    return reasoning_effect(Predictions.of_rows(found), "reasoned")


def test_the_same_model_at_once_is_what_reasoning_is_compared_with():
    found = effect_of([*BASELINE, *FAST, *REASONED])
    assert (found.without, found.mode, found.n) == ("classifier", "reasoned", 8)
    # By hand: wrong then right are 2, 3, 4; right then wrong are 1, 5.
    assert (found.both_right, found.mended, found.broken, found.both_wrong) == (2, 3, 2, 1)
    assert found.mcnemar_p == pytest.approx(mcnemar_p(3, 2))


def test_else_it_is_the_baseline():
    found = effect_of([*BASELINE, *REASONED])
    assert (found.without, found.mended, found.broken) == ("baseline", 5, 0)


def test_rows_are_joined_by_their_id():
    predictions = Predictions.of_rows([*reversed(FAST), *REASONED])
    pairs = answered_twice(predictions, "reasoned")
    without, reasoned = (predictions.at(places) for places in (pairs.without, pairs.reasoned))
    for one, other in zip(pairs.without, pairs.reasoned, strict=True):
        assert without[one].prediction.id == reasoned[other].prediction.id
    assert effect_of([*reversed(FAST), *REASONED]).mended == 3


def test_rows_that_only_one_has_answered_do_not_count():
    found = effect_of([*FAST[2:], *REASONED[:6]])
    assert (found.n, found.mended, found.broken) == (4, 3, 1)


@pytest.mark.parametrize(
    ("found", "mode"), [([*BASELINE, *FAST], "fast"), (REASONED, "reasoned"), ([*BASELINE], "reasoned")]
)
def test_without_two_answers_there_is_nothing_to_compare(found, mode):
    predictions = Predictions.of_rows(found)
    assert reasoning_effect(predictions, mode) is None and answered_twice(predictions, mode) is None
