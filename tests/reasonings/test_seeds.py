import random
from collections import Counter

import numpy as np
import pytest

from whylabel.reasonings.near_duplicates import NearDuplicates
from whylabel.reasonings.seeds import own_margins, seed_rows
from whylabel.text.words import count_words
from whylabel.types import Example

WORDS = [f"{start}{end}" for start in "bdfklmnprst" for end in ("ano", "ilu", "eto", "urka", "osen", "ami")]


def sentence(rng, words):
    return " ".join(rng.choice(WORDS) for _ in range(words))


@pytest.fixture(scope="module")
def rows():
    rng = random.Random(3)
    counts = {"joy": 150, "fear": 60, "anger": 9}
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [Example(str(at), sentence(rng, rng.randint(3, 30)), label) for at, label in enumerate(labels)]


def test_labels_get_equally_many_while_they_have_rows(rows):
    assert Counter(row.label for row in seed_rows(rows, 12, 1)) == {"joy": 4, "fear": 4, "anger": 4}
    assert Counter(row.label for row in seed_rows(rows, 40, 1)) == {"joy": 16, "fear": 15, "anger": 9}
    assert len({row.label for row in seed_rows(rows, 3, 1)}) == 3


def test_labels_that_have_reasonings_get_fewer(rows):
    written = [row for row in rows if row.label == "joy"][:5]
    found = seed_rows([row for row in rows if row not in written], 6, 1, written=written)
    assert Counter(row.label for row in found) == {"fear": 3, "anger": 3}


def test_the_seed_decides_which_rows_and_their_order_does_not_change(rows):
    assert seed_rows(rows, 20, 1) == seed_rows(list(rows), 20, 1)
    assert seed_rows(rows, 20, 1) != seed_rows(rows, 20, 2)


def test_more_rows_than_there_are(rows):
    assert {row.id for row in seed_rows(rows, 1000, 1)} == {row.id for row in rows}
    assert seed_rows([], 5, 1) == []
    assert [row.id for row in seed_rows([Example("1", "!", "a")], 5, 1)] == ["1"]


def test_no_row_nearly_repeats_another_or_one_that_is_written(rows):
    long = [row for row in rows if count_words(row.text) > 15]
    twins = [Example(f"{row.id}'", f"{row.text} indeed", row.label) for row in long]
    found = seed_rows([*rows, *twins], 500, 1)
    seen = NearDuplicates(0.5)
    assert not [row for row in found if seen.repeats(row.text)] and len(found) == len(rows)
    assert not {row.id for row in seed_rows(rows, 500, 1, written=twins)} & {row.id for row in long}


def test_lengths_vary(rows):
    found = [count_words(row.text) for row in seed_rows(rows, 18, 1)]
    every = [count_words(row.text) for row in rows]
    low, high = np.quantile(every, [1 / 3, 2 / 3])
    assert 3 <= sum(length <= low for length in found) <= 9
    assert 3 <= sum(length >= high for length in found) <= 9


def test_easy_and_hard_rows_are_among_them():
    """A label's rows are half like themselves, half like those of the other label."""
    rng = random.Random(5)
    own = {"a": [f"lemon{n}" for n in range(9)], "b": [f"stone{n}" for n in range(9)]}
    rows, hard = [], set()
    for at in range(160):
        label = "ab"[at % 2]
        is_hard = at % 8 < 2
        words = own["ab"["ab".index(label) ^ is_hard]]
        rows.append(Example(str(at), " ".join(rng.choice(words) for _ in range(12)), label))
        hard |= {str(at)} if is_hard else set()
    found = seed_rows(rows, 16, 1)
    share = sum(row.id in hard for row in found) / len(found)
    assert 0.1 <= share <= 0.5
    # The bands go from the easiest to the hardest of each label.
    assert not {row.id for row in found[:4]} & hard and {row.id for row in found[-2:]} <= hard


def test_margins_say_what_is_easy_and_hard(rows):
    """The bands of a label go from its surest rows to its least sure; rows without a margin are of the middle."""
    joy = [row for row in rows if row.label == "joy"]
    margins = {row.id: float(at) for at, row in enumerate(joy)}
    found = seed_rows(joy, 5, 1, margins=margins)
    assert [int(margins[row.id]) // 30 for row in found] == [4, 3, 2, 1, 0]
    some = {row.id: at for row, at in zip(joy, [9] * 30 + [-9] * 30 + [0], strict=False)}
    found = seed_rows(joy, 5, 1, margins=some)
    assert some[found[0].id] == 9 and some[found[-1].id] == -9
    assert not {row.id for row in found[1:-1]} & {row.id for row in joy[:60]}


def test_margins_of_the_own_label():
    found = own_margins(np.log([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]]), np.array([0, 1]))
    assert found == pytest.approx([np.log(2), -np.log(2)])


def test_each_row_is_unlike_those_before_it():
    """Of many texts about one thing and a few about others, not all are about the one."""
    rng = random.Random(7)
    usual = [f"parcel{n}" for n in range(30)]
    rows = [Example(str(at), " ".join(rng.sample(usual, 8)), "a") for at in range(60)]
    rows += [Example(f"other{at}", f"q{at}xz w{at}vv k{at}jj y{at}uu", "a") for at in range(12)]
    found = seed_rows(rows, 8, 1)
    assert sum(row.id.startswith("other") for row in found) >= 3


@pytest.mark.parametrize("texts", [["喜び", "悲しみ", "怒り"], ["😀", "😢", "😡"], ["a", "b", "?"]])
def test_texts_of_any_script(texts):
    rows = [Example(str(at), text, label) for at, (text, label) in enumerate(zip(texts, "aab", strict=True))]
    assert {row.id for row in seed_rows(rows, 3, 1)} == {"0", "1", "2"}
