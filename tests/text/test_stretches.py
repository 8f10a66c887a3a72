import itertools

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from whylabel.text.stretches import content_words, is_unbroken, parts, without, words

TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            [
                "word",
                "well,",
                "End.",
                "(so)",
                "今日は",
                "嬉しいです。",
                "ความสุข",
                "👩‍👩‍👧",
                "😭😭",
                "e\u0301te\u0301",
                "\n",
                "?!",
                "don't",
            ]
        ),
        max_size=30,
    ).map(" ".join),
)


def leaves(text: str, most: int) -> list[tuple[int, int]]:
    found, left = [], [(0, len(text))]
    while left:
        stretch = left.pop(0)
        inside = parts(text, stretch, most)
        left = [*inside, *left]
        found += [] if inside else [stretch]
    return found


def shown(text: str, most: int = 10) -> list[str]:
    return [text[start:end] for start, end in parts(text, (0, len(text)), most)]


def test_a_text_falls_into_sentences_a_sentence_into_clauses_a_clause_into_words() -> None:
    assert shown("It hurt. I cried, then slept!") == ["It hurt.", "I cried, then slept!"]
    assert shown("I cried, then slept!") == ["I cried,", "then slept!"]
    assert shown("then “slept”!") == ["then", "slept"]


def test_a_word_has_no_parts() -> None:
    for word in ("word", "word!", "don't", "👩‍👩‍👧", "e\u0301te\u0301", "!?", "", " "):
        assert parts(word, (0, len(word)), 4) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("今日はとても嬉しい", ["今日", "はと", "ても", "嬉し", "い"]),
        ("great😭👩‍👩‍👧 day", ["great", "😭", "👩‍👩‍👧", "day"]),
        ("e\u0301te\u0301 ok", ["e\u0301te\u0301", "ok"]),
        ("🇩🇪🇫🇷", ["🇩🇪", "🇫🇷"]),
    ],
)
def test_words_of_other_scripts_and_emoji(text: str, words: list[str]) -> None:
    assert shown(text) == words


def test_where_there_are_too_many_neighbours_are_joined_into_parts_of_about_equal_length() -> None:
    text = " ".join(["word"] * 40)
    found = parts(text, (0, len(text)), 4)
    assert [text[start:end].count("word") for start, end in found] == [10, 10, 10, 10]


@given(TEXTS, st.integers(2, 6))
def test_parts_are_in_order_do_not_overlap_and_lie_between_characters(text: str, most: int) -> None:
    found = leaves(text, most)
    assert all(start <= end for start, end in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))
    borders = {0, *(match.end() for match in regex.finditer(r"\X", text))}
    assert {place for stretch in found for place in stretch} <= borders


@given(TEXTS, st.integers(2, 6))
def test_every_letter_is_in_some_part(text: str, most: int) -> None:
    covered = {place for start, end in leaves(text, most) for place in range(start, end)}
    assert all(place in covered for place, character in enumerate(text) if character.isalnum())


@given(TEXTS, st.integers(2, 6))
def test_no_more_parts_than_asked_for(text: str, most: int) -> None:
    assert len(parts(text, (0, len(text)), most)) <= most


def test_a_text_without_a_stretch_has_no_double_blank() -> None:
    assert without("I was so sad.", (6, 8)) == "I was sad."
    assert without("Sad. I was.", (0, 4)) == "I was."
    assert without("I was sad", (6, 9)) == "I was "
    assert without("今日は嬉しい", (3, 6)) == "今日は"


@given(TEXTS)
def test_words_are_in_order_and_content_words_are_some_of_them(text):
    every, content = words(text), content_words(text)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(every))
    assert set(content) <= set(every) and bool(content) == bool(every)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "I don't think that we'll be back, sadly - 42 cats 😭 !",
            ["think", "back", "sadly", "42", "cats", "😭"],
        ),
        ("Das ist nicht das, was ich wollte :(", ["wollte", ":("]),
        ("Who is it?", ["Who", "is", "it"]),
        ("我非常难过", ["我非", "常难", "过"]),
        ("   ", []),
    ],
)
def test_content_words_are_those_that_are_no_function_words(text, expected):
    assert [text[start:end] for start, end in content_words(text)] == expected


def test_punctuation_and_the_end_of_a_line_break_a_stretch():
    assert is_unbroken("mother-in-law's old house", (0, 25))
    assert not any(is_unbroken(text, (0, len(text))) for text in ("so, sad", "so\nsad", "so (sad"))
