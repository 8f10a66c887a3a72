import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from whylabel.text.quotes import find, quotations, without_quotations


@pytest.mark.parametrize(
    ("reasoning", "quoted"),
    [
        ('The "leaves" are "on a tree".', ["leaves", "on a tree"]),
        ("'very cheated' and 'quite frightened' show it", ["very cheated", "quite frightened"]),
        ("'don't go' is a plea; it's the writer's own", ["don't go"]),
        ("the writer's dog and the neighbours' cat", []),
        (
            "“so glad”, ‘at last’ and «enfin» or „endlich“ and »doch«",
            ["so glad", "at last", "enfin", "endlich", "doch"],
        ),
        ("「嬉しい」は喜びを表す。『やった』", ["嬉しい", "やった"]),
        ('"I never ... came back" tells', ["I never", "came back"]),
        ('it says "won," and "?!"', ["won", "?!"]),
        ('an empty "" and an open " quotation', []),
        ("no quotation at all", []),
        ("'gli' are gloomy", ["gli"]),
        ("the `so tired` part", ["so tired"]),
    ],
)
def test_what_is_quoted(reasoning: str, quoted: list[str]) -> None:
    assert quotations(reasoning) == quoted


@pytest.mark.parametrize(
    ("quotation", "text"),
    [
        ("So Glad", "I am so  glad!"),
        ("don't go", "Please, don’t go."),
        ("well-known", "a well\u2013known story"),
        ("été", "un e\u0301te\u0301 chaud"),
        ("嬉し", "今日は嬉しい"),
        ("!!", "We won!!"),
        ("strasse", "die Straße"),
        ("ﬁne", "all fine"),
    ],
)
def test_words_that_the_text_says(quotation: str, text: str) -> None:
    assert find(quotation, text) is not None


@pytest.mark.parametrize(
    ("quotation", "text"),
    [
        ("leaf", "a leaflet"),
        ("gli", "I am still feeling gloomy and down"),
        ("wonderful", "I began to feel woeful"),
        ("so sad", "so very sad"),
        ("👩", "👩‍👩‍👧"),
    ],
)
def test_words_that_the_text_does_not_say(quotation: str, text: str) -> None:
    assert find(quotation, text) is None


def test_the_place_counts_characters_of_the_text_as_given() -> None:
    text = "Straße,  e\u0301te\u0301 and “So\n glad”"
    for quotation, said in [("été", "e\u0301te\u0301"), ("so glad", "So\n glad"), ("strasse", "Straße")]:
        place = find(quotation, text)
        assert place is not None
        assert text[slice(*place)] == said


def test_a_reasoning_without_what_it_quotes() -> None:
    assert without_quotations("The \"leaves\" and 'so far' tell.") == "The … and … tell."


@given(st.text("aäßİﬁ3 '-,.’\n今日嬉👍", min_size=1, max_size=40), st.data())
def test_every_run_of_words_is_found_where_it_is(text: str, data: st.DataObject) -> None:
    words = text.split()
    if not words:
        return
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))
    quotation = " ".join(words[start:end])
    assume(quotations(f"\u201c{quotation}\u201d") == [quotation])
    assert find(quotation, text) is not None
