"""The search over scores that are given, then the evidence of trained models."""

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trained_models import train_tiny
from whylabel.prediction.evidence import MOST_SCORINGS, MOST_STRETCHES, find_evidence
from whylabel.prediction.multi_label import MultiLabel
from whylabel.prediction.trained import TrainedClassifier
from whylabel.text.stretches import without
from whylabel.types import Evidence, Mode

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
    return find_evidence([text], Scored(score))[0]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=300), st.integers(0, 10_000))
def test_a_planted_cue_comes_first(words: list[str], place: int) -> None:
    words.insert(place % (len(words) + 1), "heartbroken")
    found = evidence(" ".join(words), lambda text: 0.0 if "heartbroken" in text else -3.0)
    assert "heartbroken" in found[0].text
    assert math.isclose(found[0].effect, 3.0)
    assert len(found[0].text.split()) <= max(1, math.ceil(len(words) / 12))


@given(st.lists(st.sampled_from(WORDS), max_size=300), st.integers(0, 100))
def test_the_number_of_scorings_does_not_grow_with_the_text(words: list[str], seed: int) -> None:
    noise = random.Random(seed)
    score = Scored(lambda text: noise.uniform(-5, 0))
    text = " ".join(words)
    (found,) = find_evidence([text], score)
    assert score.asked[0] <= MOST_SCORINGS + 1
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
    (found,) = evidence("Hooray!", lambda text: -0.1 if "Hooray" in text else -2.1)
    assert (found.start, found.end, round(found.effect, 6)) == (0, 6, 2.0)


@pytest.mark.parametrize(
    ("text", "cue"),
    [
        ("Der Zug kam pünktlich an, und trotzdem war ich todunglücklich, als sie winkte.", "todunglücklich"),
        ("Je suis arrivée hier soir et j'ai trouvé la maison vide, quel chagrin.", "chagrin"),
        ("Ο άντρας ήρθε αργά και ήταν θυμωμένος μαζί μου", "θυμωμένος"),
        ("Вчера вечером мы вернулись домой, и мне стало страшно.", "страшно"),
        ("وصلت إلى البيت متأخرا وكنت حزينا جدا", "حزينا"),
        ("आज सुबह मैं बहुत दुखी था और घर गया", "दुखी"),
        ("e\u0301te\u0301 avec une tre\u0301s grande joie\u0301 ici", "joie\u0301"),
        ("昨天我们去了公园，突然下了大雨，我非常难过，后来就回家了。", "难过"),
        ("きのう公園に行きました。雨が降って、とても悲しかったです。", "悲し"),
        ("เมื่อวานเราไปสวนสาธารณะ ฝนตกหนักมาก ฉันเสียใจ", "เสียใจ"),
        ("we waited for the bus 🚌 and then 👩‍👩‍👧 came along 😭 with cake 🎂", "😭"),
        ("we waited for the bus 🚌 and then 👩‍👩‍👧 came along 😭 with cake 🎂", "👩‍👩‍👧"),
    ],
)
@pytest.mark.parametrize("times", [0, 12])
def test_a_planted_cue_comes_first_in_any_script(text: str, cue: str, times: int) -> None:
    filler = text.replace(cue, " ")
    text = filler * (times // 2) + text + filler * (times - times // 2)
    found = evidence(text, lambda shortened: 0.0 if cue in shortened else -3.0)
    start = text.index(cue)
    # In scripts without blanks the stretches are about as long as words, and may begin inside the cue.
    assert found[0].start < start + len(cue) and start < found[0].end
    assert found[0].effect == 3.0
    assert len(found[0].text) <= max(2 * len(cue), len(text) / 16)


@given(st.lists(st.sampled_from(["the", "and", "it", "cake", "dog"]), max_size=10), st.randoms())
def test_in_a_short_text_the_search_finds_what_leaving_out_every_word_finds(
    drawn: list[str], rng: random.Random
) -> None:
    words = [word if word in ("the", "and", "it") else f"{word}{place}" for place, word in enumerate(drawn)]
    effects = {word: rng.randint(1, 9) for word in [*words, "end"] if word not in ("the", "and", "it")}

    def score(text: str) -> float:
        # The largest effect counts alone, so that there is nothing to join.
        return -float(max((effects[word] for word in effects if word not in text.split()), default=0))

    found = evidence(" ".join([*words, "end"]), score)
    assert found[0].effect == max(effects.values())
    assert all(each.effect == effects[each.text] for each in found)


def test_function_words_are_no_evidence_where_other_words_are() -> None:
    effects = {"the": 5.0, "was": 4.0, "grey": 1.0}
    text = "It was the grey one"
    found = evidence(text, lambda shortened: -sum(e for word, e in effects.items() if word not in shortened))
    assert [each.text for each in found] == ["grey"]
    # Where there is nothing else, they are.
    assert evidence("who is it", lambda text: 0.0 if "who" in text else -1.0)[0].text == "who"


def test_words_side_by_side_are_one_stretch_where_that_takes_more() -> None:
    def score(text: str) -> float:
        left = ("broken" in text) + ("heart" in text)
        return {2: 0.0, 1: -1.0, 0: -5.0}[left]

    (found,) = evidence("He told us that his heart was broken, and then he left the room", score)
    assert (found.text, found.effect) == ("heart was broken", 5.0)
    # Not over a comma.
    apart = evidence("He told us that his heart, broken, had no more to give", score)
    assert [(each.text, each.effect) for each in apart] == [("heart", 1.0), ("broken", 1.0)]
    # And not where both together take no more than one.
    apart = evidence(
        "his heart was broken", lambda text: 0.0 if "heart" in text and "broken" in text else -2.0
    )
    assert [(each.text, each.effect) for each in apart] == [("heart", 2.0), ("broken", 2.0)]


def test_texts_are_scored_together() -> None:
    calls: list[int] = []

    def log_p(rows: Sequence[int], texts: Sequence[str]) -> list[float]:
        calls.append(len(rows))
        return [-1.0 - ("good" not in text) for text in texts]

    found = find_evidence(["all good here", "not so good, no"], log_p)
    assert [each[0].text for each in found] == ["good", "good"]
    # Of the function words none is scored; there is nothing to join.
    assert calls == [2, 2]


def test_a_shortened_text_that_cannot_be_scored_counts_for_nothing() -> None:
    def score(text: str) -> float:
        return math.nan if "broken" not in text else -1.0 - ("good" not in text)

    assert [each.text for each in evidence("good, broken", score)] == ["good"]


# -- with trained models -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dual(tiny_model_folder, tmp_path_factory) -> TrainedClassifier:
    return train_tiny(tiny_model_folder, tmp_path_factory.mktemp("dual"), "dual", validation=24)


TEXT = "Number 77 it was. It was a grey day, they say, and number 78 came later."


def occluded(
    model: TrainedClassifier, stretch: Evidence, mode: Mode, label: str, reasoning: str | None
) -> float:
    """Return an effect by the definition: two scorings of whole texts, one at a time."""
    logs = []
    for text in (TEXT, without(TEXT, (stretch.start, stretch.end))):
        (answer,) = model._reader.read_after(mode, [text], [reasoning or ""])
        assert answer.log_scores is not None
        _, probabilities = model.card.answer(mode, answer.log_scores)
        logs.append(math.log(probabilities[model.labels.index(label)]))
    return logs[0] - logs[1]


@pytest.mark.parametrize("mode", ["fast", "reasoned", "vote", "adaptive", "blend"])
def test_effects_are_those_of_brute_force_occlusion_in_every_mode(
    dual: TrainedClassifier, mode: Mode
) -> None:
    (found,) = dual.predict([("1", TEXT)], mode, evidence=True, show_all=True)
    (plain,) = dual.predict([("1", TEXT)], mode, show_all=True)
    assert (found.label, found.probabilities, found.reasoning) == (
        plain.label,
        plain.probabilities,
        plain.reasoning,
    )
    assert plain.evidence is None
    assert found.evidence is not None
    for stretch in found.evidence:
        assert TEXT[stretch.start : stretch.end] == stretch.text
        # The label is scored at once, because a reasoning may hold it fast whatever the text says.
        expected = occluded(dual, stretch, "fast", found.label, None)
        assert stretch.effect == pytest.approx(expected, abs=1e-4)


def test_a_model_that_cannot_answer_at_once_is_asked_after_its_reasoning(tiny_model_folder, tmp_path) -> None:
    model = train_tiny(tiny_model_folder, tmp_path, "reasoning_label")
    (found,) = model.predict([("1", TEXT)], evidence=True, show_all=True)
    assert found.mode == "reasoned" and found.evidence is not None
    for stretch in found.evidence:
        expected = occluded(model, stretch, "reasoned", found.label, found.reasoning)
        assert stretch.effect == pytest.approx(expected, abs=1e-4)


def test_the_word_that_was_trained_on_comes_first(tiny_model_folder, tmp_path) -> None:
    model = train_tiny(tiny_model_folder, tmp_path, "label")
    (found,) = model.predict([("1", "It was a grey day, number 77")], evidence=True)
    assert found.label == "sad"
    assert found.evidence is not None
    assert "grey" in found.evidence[0].text


def test_what_the_model_reads_after_a_given_reasoning_is_what_it_read_after_its_own(
    dual: TrainedClassifier,
) -> None:
    modes: tuple[Mode, ...] = ("fast", "reasoned")
    for mode in modes:
        (answer,) = dual._reader.read([TEXT], [mode])[mode]
        (again,) = dual._reader.read_after(mode, [TEXT], [answer.reasoning or ""])
        np.testing.assert_allclose(answer.log_scores, again.log_scores, atol=1e-5)


def test_failed_rows_have_no_evidence_and_others_do(dual: TrainedClassifier) -> None:
    blank, read = dual.predict([("1", " "), ("2", TEXT)], "fast", evidence=True)
    assert (blank.status, blank.evidence) == ("failed", None)
    assert read.evidence


def test_of_a_text_that_is_too_long_only_what_the_model_read_counts(dual: TrainedClassifier) -> None:
    short = TrainedClassifier(dual.loaded, replace(dual.card, max_text_tokens=12))
    (found,) = short.predict([("1", TEXT * 9)], "fast", evidence=True)
    assert found.status == "truncated"
    read = short.prompts.trim(TEXT * 9, 12)
    assert found.evidence is not None
    assert all(stretch.end <= len(read) for stretch in found.evidence)


def test_with_several_labels_it_is_about_all_decisions_together(dual: TrainedClassifier) -> None:
    decisions = MultiLabel(thresholds=(0.5,) * 4)
    odds = np.array([2.0, -1.0, 0.5, -3.0])
    label, probabilities = decisions.answer(dual.labels, odds)
    taken = np.where(probabilities >= 0.5, probabilities, 1 - probabilities)
    found = decisions.log_probability(dual.labels, odds, label)
    assert found == pytest.approx(float(np.log(taken).sum()))
