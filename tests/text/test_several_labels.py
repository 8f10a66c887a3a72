import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from whylabel.errors import LabelError
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator, elements, rarest

LABELS = LabelSet(("joy", "joyful", "sad"))


@pytest.mark.parametrize("text", [",", ";", "|", " | ", "\t", "::"])
def test_labels_that_are_joined_come_apart_again(text):
    separator = Separator(text)
    for names in ((), ("joy",), ("joy", "sad"), ("very sad", "joy")):
        if text.isspace() and "very sad" in names and text == " ":
            continue
        assert separator.split(separator.join(names)) == names


@given(
    st.text(min_size=1, max_size=3),
    st.lists(st.text(max_size=6).map(str.strip).filter(bool), max_size=4, unique=True).map(tuple),
)
def test_whatever_labels_a_separator_allows_come_apart_as_they_were_joined(text, names):
    separator = Separator(text)
    try:
        separator.check(names)
    except LabelError:
        assert any(separator.core in name for name in names)
        return
    assert not any(separator.core in name for name in names)
    # Where an end of a label and the separator make a separator too early, nobody can tell them apart.
    joined = separator.join(names)
    assume(joined.count(separator.core) == max(len(names) - 1, 0))
    assert separator.split(joined) == names


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
