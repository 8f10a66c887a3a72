import numpy as np
import pytest

from whylabel.errors import LabelError
from whylabel.labels import LabelSet
from whylabel.multi_label import MultiLabel, Separator, elements, rarest, sigmoid

LABELS = LabelSet(("joy", "joyful", "sad"))


@pytest.mark.parametrize("text", [",", ";", "|", " | ", "\t", "::"])
def test_labels_that_are_joined_come_apart_again(text):
    separator = Separator(text)
    for names in ((), ("joy",), ("joy", "sad"), ("very sad", "joy")):
        if text.isspace() and "very sad" in names and text == " ":
            continue
        assert separator.split(separator.join(names)) == names


def test_labels_are_joined_as_people_write_them():
    assert Separator().join(["joy", "love"]) == "joy, love"
    assert Separator("|").join(["joy", "love"]) == "joy | love"
    assert Separator().split(" joy ,,love,") == ("joy", "love")
    assert Separator().split("") == ()


def test_a_label_with_the_separator_in_it_is_refused():
    with pytest.raises(LabelError, match="'cash, card' contains the separator ','") as caught:
        Separator().check(["joy", "cash, card"])
    assert "task.label_separator" in caught.value.fix
    Separator("|").check(["cash, card"])


def test_the_matrix_has_a_column_for_each_label():
    found = Separator().matrix(["", "joy", "sad, joy"], LABELS)
    assert found.tolist() == [[False] * 3, [True, False, False], [True, False, True]]
    with pytest.raises(LabelError, match="Unknown label 'angry'"):
        Separator().matrix(["joy, angry"], LABELS)


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


def test_a_row_is_stratified_by_its_rarest_label():
    sets = [("a", "b"), ("a",), (), ("b", "c")]
    assert rarest(sets, [5, 50, 3, 5]) == ["b", "a", "", "c"]
    assert rarest([("b", "a")], [2]) == ["a"]


def test_the_labels_of_a_cell():
    separator = Separator()
    assert elements("joy, sad,", separator) == ["joy", "sad"]
    assert elements(["joy, sad"], separator) == ["joy, sad"]
    assert elements((), separator) == []
    assert elements({"b", "a"}, separator) == ["a", "b"]
    assert elements(np.array([2, 1]), separator) == [2, 1]
    assert elements(3, separator) == [3]
    assert elements({"joy": 1}, separator) is None
    assert elements(b"joy", separator) is None
