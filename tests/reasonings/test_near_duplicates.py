import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whylabel.reasonings.near_duplicates import NearDuplicates

WORDS = [f"word{at}" for at in range(2000)]


def text(rng, length=60):
    return rng.choices(WORDS, k=length)


def similarity(first, second):
    one, two = ({tuple(words[at : at + 3]) for at in range(len(words) - 2)} for words in (first, second))
    return len(one & two) / len(one | two)


def test_an_equal_text_repeats_whatever_its_case_and_punctuation():
    earlier = NearDuplicates(0.9)
    assert not earlier.repeats("The writer was forgotten by someone close, which hurts.")
    assert earlier.repeats("the writer was FORGOTTEN by someone close -- which hurts")
    assert not earlier.repeats("The writer was given a present by someone close, which pleases.")


def test_texts_without_words_repeat_nothing():
    earlier = NearDuplicates(0.9)
    assert not earlier.repeats("") and not earlier.repeats("") and not earlier.repeats("...")


def test_short_texts():
    earlier = NearDuplicates(0.9)
    assert [earlier.repeats(text) for text in ("sad", "joy", "so sad", "sad", "sad so", "so sad")] == [
        *(False, False, False, True, False, True)
    ]


@pytest.mark.parametrize("limit", [0.5, 0.7, 0.9])
def test_pairs_above_the_limit_are_found_and_those_below_are_kept(limit):
    rng = random.Random(3)
    above = found = 0
    for _ in range(300):
        first = text(rng)
        second = list(first)
        for at in rng.sample(range(len(second)), k=rng.randrange(14)):
            second[at] = rng.choice(WORDS)
        earlier = NearDuplicates(limit)
        earlier.repeats(" ".join(first))
        repeats = earlier.repeats(" ".join(second))
        if similarity(first, second) > limit:
            above += 1
            found += repeats
        else:
            assert not repeats
    assert above >= 30 and found >= 0.98 * above


def test_exactly_the_limit_is_no_repetition():
    half = NearDuplicates(0.5)
    # One of two runs of three words in common, then two of three.
    assert [half.repeats(text) for text in ("a b c", "a b c d", "a b c d e")] == [False, False, True]
    everything = NearDuplicates(1.0)
    assert [everything.repeats("a b c d") for _ in range(3)] == [False] * 3


@given(
    st.lists(st.lists(st.sampled_from("abcd"), min_size=3, max_size=9), max_size=8),
    st.sampled_from([0.3, 0.5, 0.75, 0.9, 1.0]),
)
def test_what_is_taken_for_a_repetition_is_one_and_equal_texts_always_are(texts, limit):
    earlier, kept = NearDuplicates(limit), []
    for words in texts:
        repeats = earlier.repeats(" ".join(words))
        most = max((similarity(words, other) for other in kept), default=0.0)
        assert not repeats or most > limit
        assert repeats or most < 1 or limit == 1
        if not repeats:
            kept.append(words)


def test_what_repeats_is_not_remembered():
    rng = random.Random(5)
    first = text(rng, 100)
    steps = [first]
    for at in range(1, 6):
        steps.append([*first[: 100 - 2 * at], *text(rng, 2 * at)])
    earlier = NearDuplicates(0.9)
    # Each step is close to the one before, but only the first two are close to the text that was kept.
    assert [earlier.repeats(" ".join(step)) for step in steps[:4]] == [False, True, True, False]


def test_the_same_texts_give_the_same_answers():
    rng = random.Random(7)
    kept = [text(rng) for _ in range(50)]
    texts = [" ".join([*rng.choice(kept)[: rng.randrange(50, 61)], *text(rng, 3)]) for _ in range(300)]
    answers = []
    for _ in range(2):
        earlier = NearDuplicates(0.8)
        answers.append([earlier.repeats(each) for each in texts])
    assert answers[0] == answers[1]
    assert 0 < sum(answers[0]) < len(texts)


def test_texts_without_blanks():
    earlier = NearDuplicates(0.8)
    assert not earlier.repeats("作者感到悲伤因为他的兄弟忘记了他的生日而且没有打电话给他祝贺这让人难过")
    assert earlier.repeats("作者感到悲伤，因为他的兄弟忘记了他的生日，而且没有打电话给他祝贺，这让人难过。")
    assert not earlier.repeats("作者感到高兴因为他的妹妹记得他的生日而且寄来一份很好的礼物这让人开心")
