from random import Random

import pytest

from whylabel.reasonings.losses import Losses, figures, shown
from whylabel.text.several_labels import Separator


def losses(lost, rows=None, separator=None):
    """Return losses from {reason: {label: dropped rows}}, with 20 rows of each label."""
    rows = rows or {"IT": 20, "joy": 20, "fear": 20}
    found = Losses(separator)
    reasons = {label: [] for label in rows}
    for reason, counts in lost.items():
        for label, count in counts.items():
            reasons[label] += [reason] * count
    for label, total in rows.items():
        for at in range(total):
            found.add(label, reasons[label][at] if at < len(reasons[label]) else None)
    return found


def test_a_label_that_loses_all_its_rows_to_a_filter_is_named():
    found = losses({"label leaked at the start": {"IT": 20, "joy": 1}, "too short": {"fear": 2, "joy": 2}})
    assert found.uneven() == [
        "label 'IT' loses 20 of 20 rows (label leaked at the start), the other labels 1 of 40"
    ]
    assert figures(found) == {
        "rows_by_label": {"IT": 20, "joy": 20, "fear": 20},
        "dropped_by_label": {
            "label leaked at the start": {"IT": 20, "joy": 1},
            "too short": {"joy": 2, "fear": 2},
        },
        "uneven": found.uneven(),
    }


@pytest.mark.parametrize(
    "reason", ["too short", "repetition", "near duplicate", "pattern x", "does not lead to its label"]
)
def test_it_holds_for_every_reason(reason):
    assert len(losses({reason: {"joy": 12, "fear": 1}}).uneven()) == 1


@pytest.mark.parametrize(
    ("lost", "rows"),
    [
        ({"joy": 3, "IT": 2, "fear": 4}, None),
        ({"joy": 20, "IT": 20, "fear": 20}, None),
        ({"joy": 10, "IT": 8, "fear": 9}, None),
        ({"joy": 2}, {"joy": 2, "fear": 50}),
        ({"joy": 3, "fear": 20}, {"joy": 10, "fear": 300}),
        ({"joy": 5}, {"joy": 5}),
    ],
)
def test_what_is_even_or_may_be_chance_is_not_said(lost, rows):
    assert losses({"too short": lost}, rows).uneven() == []


def test_an_even_filter_is_hardly_ever_called_uneven():
    random = Random(1)
    alarms = 0
    for _ in range(30):
        found = Losses()
        for at in range(77 * 12):
            found.add(f"label {at % 77}", "too short" if random.random() < 0.1 else None)
        alarms += len(found.uneven())
    assert alarms <= 2


def test_many_rows_are_counted_without_delay():
    rows = {"IT": 200_000, "joy": 300_000}
    assert len(losses({"copy": {"IT": 100_000, "joy": 30_000}}, rows).uneven()) == 1


def test_a_label_that_keeps_nothing_where_others_keep_half():
    assert "label 'IT' loses 20 of 20" in losses({"copy": {"IT": 20, "joy": 10, "fear": 9}}).uneven()[0]


def test_languages_are_one_reason_and_small_ones_count_together():
    lost = {f"language {code}, not en": {"joy": 3} for code in ("de", "da", "nl", "sv")}
    assert losses(lost).uneven() == [
        "label 'joy' loses 12 of 20 rows (another language), the other labels 0 of 40"
    ]
    lost = {reason: {"joy": 3} for reason in ("too short", "too long", "repetition")}
    assert losses(lost).uneven() == [
        "label 'joy' loses 9 of 20 rows (all reasons together), the other labels 0 of 40"
    ]


def test_a_row_with_several_labels_counts_for_each():
    found = Losses(Separator(","))
    for at in range(30):
        found.add("IT, joy" if at < 10 else "joy" if at < 20 else "", "too short" if at < 10 else None)
    assert found.rows == {"IT": 10, "joy": 20}
    assert found.by_label() == {"too short": {"IT": 10, "joy": 10}}


def test_only_the_first_few_are_shown():
    assert list(shown(["a", "b"])) == ["  Warning: a", "  Warning: b"]
    assert list(shown(list("abcdefg")))[-1] == "  Warning: 2 more labels lose far more rows than the others"
