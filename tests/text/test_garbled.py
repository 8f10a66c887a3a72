import unicodedata

import pytest

from whylabel.text.garbled import is_garbled

TEXT = "Das Café ist schön: „sehr gut“ – 5 €"


@pytest.mark.parametrize(
    "garbled",
    [
        TEXT.encode().decode("cp1252", "replace"),
        TEXT.encode().decode("latin-1"),
        TEXT.encode().decode("mac_roman"),
        TEXT.encode().decode("gb18030", "replace"),
        TEXT.encode().decode("cp437"),
        TEXT.encode("cp1252").decode("utf-8", "replace"),
        TEXT.encode("cp1252").decode("mac_roman"),
        TEXT.encode("mac_roman").decode("cp1252", "replace"),
        TEXT.encode("ascii", "replace").decode(),
        TEXT.encode("cp1251", "replace").decode("cp1251"),
        TEXT.encode().decode("latin-1").encode().decode("latin-1"),
    ],
)
def test_a_wrong_encoding_is_recognised(garbled):
    assert garbled != TEXT and is_garbled(TEXT, garbled)


@pytest.mark.parametrize(
    "edited",
    [
        TEXT,
        TEXT.replace("schön", "nett"),
        TEXT.replace("„sehr gut“", "sehr gut"),
        TEXT.replace("é", "è"),
        f"{TEXT}!",
        "",
        unicodedata.normalize("NFC", TEXT),
    ],
)
def test_an_edit_is_none(edited):
    assert not is_garbled(TEXT, edited)


def test_a_text_in_ascii_cannot_be_garbled():
    assert not is_garbled("plain", "Plain?")
