import re
import subprocess
import sys

import pytest

from whylabel.text.hashes import RowsHash, fingerprint, row_hash, rows_fingerprint, text_hash, text_number
from whylabel.types import Example, QuestionAnswer

BROKEN = Example("1", "Grüße \ud83d", "x")


@pytest.mark.parametrize(
    ("found", "stored"),
    [
        (text_hash(BROKEN.text), "4d05b2937c79"),
        (row_hash(BROKEN), "9eea0176b60a60f045b882d90fd6f81c"),
        (
            rows_fingerprint([BROKEN, Example("2", "b", "y")]),
            "04784ac4cf97789a2d993ec55f64273751cb4a6716c26be9bb8f4db8508254b1",
        ),
        (
            rows_fingerprint([QuestionAnswer("1", "q", "a", "r")]),
            "158abc9bc22f8f69000575351339944e568f73549d71ff41675b6ec0e5260b61",
        ),
        (rows_fingerprint([]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            fingerprint("a", {"b": 1.5}, ["ü"]),
            "4cde0d061b774ca1b4b1244a13b1fc660262753b66b5be02a5f4cec4edd46f59",
        ),
    ],
)
def test_digests_in_finished_runs_stay_what_they_are(found, stored):
    assert found == stored


def test_no_hash_depends_on_the_process():
    code = "from whylabel.text.hashes import *; print(text_number('a text'), fingerprint('a', {'b': 1.5}, ['ü']))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == [str(text_number("a text")), fingerprint("a", {"b": 1.5}, ["ü"])]


def test_numbers_are_those_of_an_array_of_64_bits():
    numbers = [text_number(f"text {at} \ud800") for at in range(1000)]
    assert len(set(numbers)) == 1000
    assert min(numbers) < 0 < max(numbers) and max(map(abs, numbers)) <= 1 << 63


def test_rows_with_equal_text_and_label_are_one_row_of_the_store():
    assert row_hash(Example("1", "a", "x")) == row_hash(Example("2", "a", "x"))
    assert row_hash(Example("1", "a", "x")) != row_hash(Example("1", "a", "y"))
    assert row_hash(Example("1", "ab", "")) != row_hash(Example("1", "a", "b"))


def test_a_fingerprint_of_rows_covers_fields_and_order():
    rows = [Example("1", "a", "x"), BROKEN]
    assert rows_fingerprint(rows) == rows_fingerprint(iter(rows))
    assert rows_fingerprint(rows) != rows_fingerprint(reversed(rows))
    assert rows_fingerprint([Example("1", "ab", "")]) != rows_fingerprint([Example("1", "a", "b")])
    digest = RowsHash()
    for row in rows:
        digest.add(row.id, row.text, row.label)
    assert digest.hexdigest() == rows_fingerprint(rows)


def test_equal_values_have_equal_fingerprints():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert re.fullmatch(r"[0-9a-f]{64}", fingerprint())


def test_different_values_have_different_fingerprints():
    values = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        (["ab", "c"],),
        (1,),
        ("1",),
        (None,),
        ({},),
        (True,),
        ("é",),
    ]
    assert len({fingerprint(*value) for value in values}) == len(values)
