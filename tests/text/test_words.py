import re
import sys
import unicodedata

import pytest

from whylabel.text.words import count_words, first_words, is_broken, tokens, tokens_a_word

CHINESE = "作者感到悲伤因为他的兄弟忘记了"
THAI = "ผู้เขียนรู้สึกเศร้ามาก"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("... !? 🤔", []),
        ("He's SAD, isn't he?", ["he", "s", "sad", "isn", "t", "he"]),
        ("Écoute “ça” – 5€", ["écoute", "ça", "5"]),
        ("e\u0301te\u0301", ["été"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("슬픔을 느낀다", ["슬픔을", "느낀다"]),
        ("悲しいABC、5つ", ["悲", "し", "い", "abc", "5", "つ"]),
        ("ok 🤷🏽‍♀️ 👍🏽", ["ok"]),
    ],
)
def test_tokens(text, expected):
    assert tokens(text) == expected


def test_the_faster_way_reads_letters_and_digits_like_the_slower_one():
    letters = [
        letter
        for letter in map(chr, range(0x20, sys.maxunicode + 1))
        if unicodedata.category(letter) in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Po", "Zs", "So", "Sm")
        and unicodedata.is_normalized("NFC", letter)
    ]
    for letter in letters:
        alone = tokens(letter)
        # The Chinese character sends the text the slower way.
        assert tokens(f"{letter} 人") == [*alone, "人"], hex(ord(letter))
        assert bool(alone) == bool(re.match(r"\w", letter)), hex(ord(letter))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("so it is, sad", 4),
        ("Er ist müde", 3),
        ("लेखक दुखी है", 3),
        ("작가는 슬픔을 느낀다", 3),
        ("悲", 1),
        ("悲伤", 1),
        (CHINESE, 8),
        ("作者感到悲伤，因为他的兄弟忘记了。", 8),
        ("作者 feels 悲伤", 3),
        ("作者が悲しいのは", 4),
    ],
)
def test_count_words(text, expected):
    assert count_words(text) == expected


def test_a_thai_text_has_about_as_many_words_as_a_dictionary_finds():
    # ผู้เขียน รู้สึก เศร้า มาก: the writer, feels, sad, very.
    assert 4 <= count_words(THAI) <= 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 1), ("plain", 1), ("müde", 1), (CHINESE, 2), (THAI, 4), ("悲 " + "sad " * 9, 1)],
)
def test_tokens_a_word(text, expected):
    assert tokens_a_word(text) == expected


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("The writer, it seems, is sad.", 2, "The writer"),
        ("The writer", 9, "The writer"),
        ("  The writer ...", 9, "  The writer ..."),
        (CHINESE, 2, "作者感到"),
        ("作者 feels 悲伤的", 3, "作者 feels 悲伤"),
        ("", 3, ""),
    ],
)
def test_first_words(text, count, expected):
    assert first_words(text, count) == expected


def test_broken_text():
    assert is_broken("a\0b") and is_broken("\ud83d alone")
    assert not is_broken("fine 😢")
