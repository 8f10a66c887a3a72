import numpy as np
import pytest

from whylabel.prediction.multi_label import MultiLabel, multi_label_of, sigmoid
from whylabel.recipe import TaskConfig
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator

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


def test_a_task_decides_whether_a_text_may_have_several_labels_and_how_they_are_written():
    assert multi_label_of(TaskConfig()) is None
    found = multi_label_of(TaskConfig(type="multi_label", label_separator="|"))
    assert found == MultiLabel(Separator("|"))


def test_thresholds_are_read_by_name_whatever_their_order():
    mine = MultiLabel(Separator("|"), (0.1, 0.2, 0.3))
    said = mine.to_json(LABELS)
    assert said == {"joy": 0.1, "joyful": 0.2, "sad": 0.3}
    assert MultiLabel.from_json("|", dict(reversed(said.items())), LABELS) == mine
    assert MultiLabel.from_json("|", None, LABELS) == MultiLabel(Separator("|"))
    assert MultiLabel().to_json(LABELS) is None
    with pytest.raises(KeyError):
        MultiLabel.from_json("|", {"joy": 0.1}, LABELS)
