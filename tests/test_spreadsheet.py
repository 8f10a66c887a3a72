import pytest

from whylabel.spreadsheet import harmless, restored


@pytest.mark.parametrize(
    "text", ["", "plain", "=1+1", "+1", "-1", "@x", "\ttab", "'quoted'", "'", "'=odd", "é"]
)
def test_a_cell_comes_back_as_it_was(text):
    if not text.startswith("'="):
        assert restored(harmless(text)) == text
    assert not harmless(text).startswith(("=", "+", "-", "@", "\t", "\r"))
