import itertools
import math
import random
from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from whylabel.prediction.evidence import MOST_SCORINGS, MOST_STRETCHES, find_evidence
from whylabel.types import Evidence

WORDS = ["the", "dog", "went", "home.", "and", "then,", "we", "saw", "it!"]


class Scored:
    """log p of a label from what a text contains, and how often it was asked for each row."""

    def __init__(self, score: Callable[[str], float]) -> None:
        self.score = score
        self.asked: dict[int, int] = {}

    def __call__(self, rows: Sequence[int], texts: Sequence[str]) -> list[float]:
        for row in rows:
            self.asked[row] = self.asked.get(row, 0) + 1
        return [self.score(text) for text in texts]


def evidence(text: str, score: Callable[[str], float]) -> tuple[Evidence, ...]:
    return find_evidence([text], [score(text)], Scored(score))[0]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=300), st.integers(0, 10_000))
def test_a_planted_cue_comes_first(words: list[str], place: int) -> None:
    words.insert(place % (len(words) + 1), "heartbroken")
    found = evidence(" ".join(words), lambda text: 0.0 if "heartbroken" in text else -3.0)
    assert "heartbroken" in found[0].text
    assert math.isclose(found[0].effect, 3.0)
    assert len(found[0].text.split()) <= max(1, math.ceil(len(words) / 32))


@given(st.lists(st.sampled_from(WORDS), max_size=300), st.integers(0, 100))
def test_the_number_of_scorings_does_not_grow_with_the_text(words: list[str], seed: int) -> None:
    noise = random.Random(seed)
    score = Scored(lambda text: noise.uniform(-5, 0))
    text = " ".join(words)
    (found,) = find_evidence([text], [0.0], score)
    assert score.asked.get(0, 0) <= MOST_SCORINGS
    assert len(found) <= MOST_STRETCHES


@given(st.lists(st.sampled_from(WORDS), max_size=60), st.integers(0, 100))
def test_stretches_do_not_overlap_and_stand_in_the_text_with_the_largest_effect_first(
    words: list[str], seed: int
) -> None:
    text = " ".join(words)
    found = evidence(text, lambda shortened: -random.Random(f"{seed}{shortened}").uniform(0, 5))
    assert [each.effect for each in found] == sorted((each.effect for each in found), reverse=True)
    assert all(text[each.start : each.end] == each.text for each in found)
    places = sorted((each.start, each.end) for each in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(places))


def test_each_effect_is_what_leaving_the_stretch_out_takes() -> None:
    weights = {"furious": 2.0, "slammed": 1.0}
    text = "He came in late, furious as ever. Then he slammed the door, and the cat ran."

    def score(text: str) -> float:
        return -3.0 + sum(weight for word, weight in weights.items() if word in text)

    found = evidence(text, score)
    assert [(each.text, round(each.effect, 6)) for each in found] == [("furious", 2.0), ("slammed", 1.0)]


def test_a_phrase_stays_whole_where_no_part_of_it_has_most_of_its_effect() -> None:
    # Either word is enough: only without both is the label in doubt.
    found = evidence(
        "It was late. so very sad sorrow", lambda text: 0.0 if "sad" in text or "sorrow" in text else -4.0
    )
    assert found[0].text == "so very sad sorrow"


def test_a_text_that_has_no_influence_has_no_evidence() -> None:
    assert evidence("He came in. He left.", lambda text: -1.0) == ()
    assert evidence("", lambda text: -1.0) == ()
    assert evidence("   ", lambda text: -1.0) == ()


def test_a_single_word_is_scored_against_no_text() -> None:
    (found,) = evidence("Hooray!", lambda text: -0.1 if text else -2.1)
    assert (found.start, found.end, round(found.effect, 6)) == (0, 7, 2.0)


def test_texts_are_scored_together() -> None:
    calls: list[int] = []

    def log_p(rows: Sequence[int], texts: Sequence[str]) -> list[float]:
        calls.append(len(rows))
        return [-1.0 - ("good" not in text) for text in texts]

    found = find_evidence(["all good here", "not so good, no"], [-1.0, -1.0], log_p)
    assert [each[0].text for each in found] == ["good", "good"]
    assert calls[0] == 5
