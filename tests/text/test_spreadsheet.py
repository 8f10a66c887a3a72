import pytest

from whylabel.text.spreadsheet import harmless, restored


@pytest.mark.parametrize(
    "text",
    ["", "plain", "=1+1", "+1", "-1+1", "@x", "\ttab", "'quoted'", "'", "'=odd", "''@twice", "'\tx", "é"],
)
def test_a_cell_comes_back_as_it_was(text):
    assert restored(harmless(text)) == text
    assert not harmless(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("text", ["-1", "-12.50", "-3e-05"])
def test_a_negative_number_stays_one(text):
    assert harmless(text) == restored(text) == text
    assert restored(harmless(f"'{text}")) == f"'{text}"


@pytest.mark.parametrize("text", ["-1+2", "--1", "-", "-x", "-1 ", "-1\n", "-١", "+45 12345678", "-1;=A1"])
def test_what_only_begins_like_a_number_is_made_harmless(text):
    assert harmless(text) == f"'{text}"
    assert restored(harmless(text)) == text
