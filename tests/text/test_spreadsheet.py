import pytest

from whylabel.text.spreadsheet import harmless, restored


@pytest.mark.parametrize(
    "text",
    ["", "plain", "=1+1", "+1", "-1", "@x", "\ttab", "'quoted'", "'", "'=odd", "''@twice", "'\tx", "é"],
)
def test_a_cell_comes_back_as_it_was(text):
    assert restored(harmless(text)) == text
    assert not harmless(text).startswith(("=", "+", "-", "@", "\t", "\r"))
