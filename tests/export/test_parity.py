"""What counts as another answer: worked by hand from scores."""

import numpy as np
import pytest

from whylabel.export.parity import CLEAR_MARGIN, Parity, _of_mode
from whylabel.prediction.card import ModelCard
from whylabel.prediction.multi_label import MultiLabel
from whylabel.text.labels import LabelSet


def card(**changes):
    fields = {"target": "label", "question": "?", "name": "Label", "prompt_style": "compact"}
    limits = {"max_text_tokens": 99, "max_reasoning_tokens": 20}
    return ModelCard(LabelSet(("a", "b")), lineage={}, modes=("fast",), **{**fields, **limits, **changes})


def compared(model, expected, found):
    one, changes = _of_mode(model, "fast", np.log(np.array(expected)), np.log(np.array(found)))
    return one, [(label, other, round(margin, 6)) for _, label, other, margin in changes]


def test_a_margin_is_how_much_the_model_prefers_its_label():
    one, changes = compared(
        card(), [[0.8, 0.2], [0.51, 0.49], [0.3, 0.7]], [[0.4, 0.6], [0.49, 0.51], [0.2, 0.8]]
    )
    assert changes == [("a", "b", 0.6), ("a", "b", 0.02)]
    assert (one.rows, one.same_labels) == (3, 1)
    assert one.probability_difference == pytest.approx(0.4)
    assert one.log_score_difference == pytest.approx(np.log(0.6 / 0.2))
    assert 0.02 < CLEAR_MARGIN < 0.6


def test_the_margin_of_decisions_is_the_distance_from_the_threshold():
    several = card(multi_label=MultiLabel(thresholds=(0.5, 0.3)))

    def both(a, b):  # log p of yes and no, for each label
        return [[a, 1 - a, b, 1 - b]]

    _, changes = compared(several, both(0.9, 0.32), both(0.8, 0.29))
    assert [change[2] for change in changes] == [0.02]
    _, changes = compared(several, both(0.9, 0.32), both(0.4, 0.29))
    assert [change[2] for change in changes] == [0.4]


def test_scores_that_are_no_numbers_are_a_clear_change():
    one, changes = _of_mode(card(), "fast", np.array([[-1.0, -2.0]]), np.array([[np.nan, np.nan]]))
    assert one.same_labels == 0
    assert changes[0][2:] == ("no answer", np.inf)


def test_what_could_not_be_compared_is_not_said():
    assert Parity((), ()).lines() == []
    assert "reasonings: 1 of 2 are the same" in Parity((), (), (1, 2)).lines()
