"""Figures from what models say of reasonings."""

from __future__ import annotations

import pytest

from whylabel.evaluation.judged import Judgement, Quoted, judged_quality, quoted_evidence
from whylabel.types import Evidence

TEXT = "I laughed at the fair, and nobody was ill."


def evidence(*words: str) -> list[Evidence]:
    return [
        Evidence(TEXT.index(word), TEXT.index(word) + len(word), word, 1.0 - place / 10)
        for place, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("reasoning", "words", "characters", "inside"),
    [
        ("'laughed' means mirth.", ("laughed",), 7, 7),
        ("'LAUGHED at' means mirth.", ("laughed",), 10, 7),
        ("'laughed' and 'ill' are at odds.", ("laughed", "fair"), 10, 7),
        ("'laughed' and 'laughed at' say the same.", ("laughed",), 10, 7),
        ("'nobody' says it.", ("laughed",), 6, 0),
        ("'wept' and 'ill' are at odds.", ("ill",), 3, 3),
    ],
)
def test_characters_count_once_and_only_those_that_stand_in_the_text(reasoning, words, characters, inside):
    found = quoted_evidence(reasoning, TEXT, evidence(*words))
    assert found is not None and (found.characters, found.inside) == (characters, inside)


@pytest.mark.parametrize(
    ("reasoning", "words"),
    [("No quotation here.", ("ill",)), ("'wept' is not there.", ("ill",)), ("'laughed' is there.", ())],
)
def test_without_a_quotation_of_the_text_or_without_evidence_there_is_no_overlap(reasoning, words):
    assert quoted_evidence(reasoning, TEXT, evidence(*words)) is None


def test_chance_is_the_mean_over_all_places_of_the_text():
    found = quoted_evidence("'laughed at' and 'ill' say it.", TEXT, evidence("laughed", "fair"))
    marked = [
        any(each.start <= at < each.end for each in evidence("laughed", "fair")) for at in range(len(TEXT))
    ]

    def brute(size: int) -> float:
        places = range(len(TEXT) - size + 1)
        return sum(sum(marked[at : at + size]) for at in places) / len(places)

    assert found is not None and found.by_chance == pytest.approx(brute(10) + brute(3))
    whole = [Evidence(0, len(TEXT), TEXT, 1.0)]
    everything = quoted_evidence(f"'laughed' and \"{TEXT[:-1]}\" say it.", TEXT, whole)
    assert everything is not None and everything.by_chance == pytest.approx(everything.characters)


def test_the_figures_of_a_sample():
    judgements = [
        Judgement(-1.0, 0.5, Quoted(10, 5, 2.0)),
        Judgement(-2.0, -0.25, None),
        Judgement(-4.0, 0.75, Quoted(30, 5, 3.0)),
    ]
    training = [-3.0 + at / 100 for at in range(201)]
    found = judged_quality("reasoned", judgements, training)
    assert (found.mode, found.n) == ("reasoned", 3)
    fluency = found.fluency
    assert fluency is not None and (fluency.median, fluency.training_n) == (-2.0, 201)
    assert fluency.training_median == pytest.approx(-2.0) and fluency.limit == pytest.approx(-2.9)
    assert (fluency.below.count, fluency.below.n) == (1, 3)
    assert (found.support.positive.count, found.support.positive.n) == (2, 3)
    assert found.support.mean_margin == pytest.approx(1 / 3)
    overlap = found.overlap
    assert overlap is not None and (overlap.rows, overlap.characters) == (2, 40)
    assert (overlap.inside, overlap.by_chance) == (0.25, 0.125)


def test_what_cannot_be_told_is_none():
    found = judged_quality("reasoned", [Judgement(-1.0, 0.0, None)], [])
    assert found.fluency is None and found.overlap is None
    # A margin of 0 leads nowhere.
    assert found.support.positive.count == 0
