"""How doubtful a prediction is."""

import pytest

from whylabel.prediction.doubt import MostDoubtful, doubt, probability, to_review
from whylabel.prediction.multi_label import MultiLabel
from whylabel.text.labels import LabelSet
from whylabel.types import Prediction

LABELS = LabelSet(("joy", "fear", "love"))


def said(best, disagrees=None, **values):
    return Prediction("1", "joy", (best, 1 - best, 0.0), disagrees=disagrees, **values)


def test_unsure_rows_come_first_by_probability():
    assert doubt(said(0.6), "probability", LABELS) > doubt(said(0.9, True), "probability", LABELS)


def test_by_both_those_that_disagree_come_first_and_among_them_the_unsure():
    order = [said(0.6, True), said(0.9, True), said(0.55, False), said(0.7), said(0.99, False)]
    doubts = [doubt(each, "both", LABELS) for each in order]
    assert doubts == sorted(doubts, reverse=True) and len(set(doubts)) == 5
    assert [doubt(each, "disagreement", LABELS) for each in order] == [1, 1, 0, 0, 0]
    assert doubt(said(0.9, False), "disagreement", LABELS, disagrees=True) == 1


@pytest.mark.parametrize("signal", ["probability", "disagreement", "both"])
def test_a_failed_row_is_the_most_doubtful(signal):
    failed = Prediction("1", "", (), status="failed", error="blank")
    assert doubt(failed, signal, LABELS) > doubt(said(0.0, True), signal, LABELS)


def test_several_labels_have_the_probability_of_all_decisions():
    prediction = Prediction("1", "joy, love", (0.9, 0.2, 0.6))
    assert probability(prediction, LABELS, MultiLabel()) == pytest.approx(0.9 * 0.8 * 0.6)
    assert probability(Prediction("1", "", (0.1, 0.2, 0.5)), LABELS, MultiLabel()) == pytest.approx(0.36)


@pytest.mark.parametrize(("share", "count"), [(0.1, 3), (0.11, 4), (0.0, 0), (1.0, 30), (0.001, 1)])
def test_a_share_is_rounded_up(share, count):
    assert len(to_review([0.5] * 30, share)) == count


def test_the_most_doubtful_rows_are_marked_and_equal_ones_in_their_order():
    assert to_review([0.1, 0.9, 0.5, 0.5, 0.2], 0.4) == {1, 2}
    assert to_review([], 0.5) == set()


def test_rows_are_found_as_they_come():
    found = MostDoubtful(0.5, "both", LABELS)
    for prediction in (said(0.9), said(0.8, True), said(0.6), said(0.99, True)):
        found.add(prediction)
    assert found.wanted and found.places() == {1, 3}
    assert not MostDoubtful(None, "probability", LABELS).wanted
    assert MostDoubtful(0.0, "probability", LABELS).wanted
