import numpy as np

from whylabel.prediction.multi_label import MultiLabel, sigmoid
from whylabel.text.labels import LabelSet

LABELS = LabelSet(("joy", "joyful", "sad"))


def test_each_label_is_decided_by_its_own_threshold():
    odds = np.log(np.array([0.3, 0.6, 0.7]) / np.array([0.7, 0.4, 0.3]))
    label, probabilities = MultiLabel().answer(LABELS, odds)
    assert label == "joyful, sad"
    np.testing.assert_allclose(probabilities, [0.3, 0.6, 0.7])
    assert MultiLabel(thresholds=(0.2, 0.9, 0.71)).answer(LABELS, odds)[0] == "joy"
    assert MultiLabel(thresholds=(0.9, 0.9, 0.9)).answer(LABELS, odds)[0] == ""
    assert MultiLabel(thresholds=(0.5, 0.5, 0.5)).decided(LABELS, np.array([0.5, 0.499, 1.0])) == "joy, sad"


def test_extreme_odds_are_probabilities():
    np.testing.assert_allclose(sigmoid(np.array([-1e4, 0.0, 1e4])), [0, 0.5, 1])
