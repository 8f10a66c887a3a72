import pytest

from whylabel.errors import LabelError
from whylabel.text.labels import LabelSet


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "at least two"),
        (("joy",), "at least two"),
        (("joy", ""), "empty"),
        (("joy", " \n"), "empty"),
        (("joy", "fear", "joy"), "'joy' occurs twice"),
        (("joy", "joy "), "occurs twice"),
    ],
)
def test_labels_that_form_no_set(names, message):
    with pytest.raises(LabelError, match=message):
        LabelSet(names)


def test_labels_from_data_are_sorted_and_distinct():
    assert LabelSet.from_labels(["joy", "fear", "joy", "anger"]).names == ("anger", "fear", "joy")


def test_a_declared_order_wins():
    labels = LabelSet.from_labels(["a", "b"], ["b", "c", "a"])
    assert labels.names == ("b", "c", "a")
    assert len(labels) == 3
    assert [labels.index(name) for name in labels.names] == [0, 1, 2]


def test_a_label_that_was_not_declared():
    with pytest.raises(LabelError, match="Unknown label 'joyy'. Did you mean 'joy'"):
        LabelSet.from_labels(["joy", "joyy"], ["fear", "joy"])


def test_labels_that_differ_in_case_or_contain_each_other_are_distinct():
    labels = LabelSet(("joy", "Joy", "joyful", "joy of others"))
    assert labels.index("joy") == 0 and labels.index("joyful") == 2
