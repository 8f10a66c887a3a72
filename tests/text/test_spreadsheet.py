import pytest

from whylabel.text.spreadsheet import harmless, may_be_rewritten, restored


@pytest.mark.parametrize(
    "text",
    ["", "plain", "=1+1", "+1-1", "-1+1", "@x", "\ttab", "'quoted'", "'", "'=odd", "''@twice", "'\tx", "é"],
)
def test_a_cell_comes_back_as_it_was(text):
    assert restored(harmless(text)) == text
    assert not harmless(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "-12.50",
        "-3e-05",
        "-3.5",
        "+4",
        "1e-3",
        "+1E5",
        "-.5",
        "-5.",
        "-1,5",
        "-1,234.50",
        "-50%",
        "+0",
        "0",
    ],
)
def test_a_plain_number_stays_one(text):
    assert harmless(text) == restored(text) == text
    assert restored(harmless(f"'{text}")) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["-1+2", "--1", "-", "-x", "-1 ", "-1\n", "-١", "+45 12345678", "-1;=A1", "+", "-e5"]
)
def test_what_only_begins_like_a_number_is_made_harmless(text):
    assert harmless(text) == f"'{text}"
    assert restored(harmless(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "007",
        "1E5",
        "12e4567",
        "12345678901234567890",
        "1-2",
        "2/3/24",
        "MAR1",
        "SEPT2",
        "1-Jan",
        "True",
        "10:30",
        "$5",
    ],
)
def test_what_spreadsheets_rewrite(text):
    assert may_be_rewritten(text)


@pytest.mark.parametrize("text", ["r3", "nobody", "12e4567890ab", "id-1", "may", "Mark", "e", "", "-"])
def test_what_they_leave_alone(text):
    assert not may_be_rewritten(text)
