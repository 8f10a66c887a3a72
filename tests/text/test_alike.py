import unicodedata

import pytest

from whylabel.text.alike import described, difference, groups_alike


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        (["Joy", "joy", "JOY"], "case"),
        (["straße", "STRASSE"], "case"),
        (["İyi", "iyi"], "case"),
        (["KIZGIN", "kızgın"], "case"),
        (["caf\u00e9", "cafe\u0301"], "Unicode form"),
        (["fine", "\ufb01ne"], "Unicode form"),
        (["한글", unicodedata.normalize("NFD", "한글")], "Unicode form"),
        (["very good", "very  good", "verygood"], "blanks"),
        (["very good", "very\u00a0good"], "blanks"),
        (["joy", "joy\u200b"], "invisible characters"),
        (["joy", "\ufeffjoy"], "invisible characters"),
        (["mail", "ma\u00adil"], "invisible characters"),
        (["❤", "❤\ufe0f"], "invisible characters"),
        (["joy", "Joy\u2060"], "invisible characters and case"),
        (["\uff2aoy", "joy"], "Unicode form and case"),
        (["2", "2.0", "2.00"], "decimal zeros"),
    ],
)
def test_labels_that_look_alike(group, kind):
    assert groups_alike(["other", *group, "another"]) == [tuple(group)]
    assert difference(group) == kind


@pytest.mark.parametrize(
    "labels", [["żal", "zal"], ["né", "ne"], ["a", "b"], ["1.0", "1.1", "10"], ["C", "C++"], []]
)
def test_others_do_not(labels):
    assert groups_alike(labels) == []


def test_what_nobody_sees_is_written_out():
    assert described(["joy", "joy\u200b"], {"joy": 1200}) == (
        "Labels differ only by invisible characters: 'joy' (1,200), 'joy\\u200b' (0)"
    )
    assert described(["caf\u00e9", "cafe\u0301"]).endswith(r"'caf\xe9', 'cafe\u0301'")
    assert described(["❤", "❤\ufe0f"]).endswith(r"'\u2764', '\u2764\ufe0f'")
    assert described(["é", "É"]).endswith("'é', 'É'")
