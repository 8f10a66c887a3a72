"""The languages of texts: named where they are certain and frequent."""

import pytest

from whylabel.text.language import language_detector, main_languages

ENGLISH = "My brother has forgotten my birthday again this year."
GERMAN = "Mein Bruder hat meinen Geburtstag schon wieder vergessen."


def test_short_texts_have_none():
    detected = language_detector()
    assert (detected(ENGLISH), detected(GERMAN), detected("My brother!")) == ("en", "de", None)


@pytest.mark.parametrize(
    ("english", "german", "found"),
    [(20, 0, ["en"]), (15, 5, ["en", "de"]), (5, 15, ["de", "en"]), (20, 2, ["en"]), (9, 0, []), (0, 0, [])],
)
def test_those_of_a_tenth_of_the_texts_are_named(english, german, found):
    assert main_languages([*[ENGLISH] * english, *[GERMAN] * german, *["Oh!"] * 30]) == found
