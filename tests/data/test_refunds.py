"""builtin:refunds: labels and reasonings follow from the facts beside them, and words alone do not tell the label."""

import dataclasses
import re
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
import refunds as policy

from whylabel.data import load_dataset
from whylabel.data.cells import normalise_text
from whylabel.evaluation.floors import tfidf
from whylabel.reasonings.filters import apply_filters
from whylabel.reasonings.near_duplicates import NearDuplicates
from whylabel.recipe import DataConfig, FilterConfig, TaskConfig
from whylabel.text.labels import LabelSet
from whylabel.types import ReasonedExample

LABELS = ("denial", "exchange", "refund", "voucher")
# The policy once more, in other words.
VALID = {("sealed", "no fault"), ("opened", "a fault")}


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(DataConfig(source="builtin:refunds"), TaskConfig(), seed=13)


@pytest.fixture(scope="module")
def rows(dataset):
    return [row for part in dataset.splits().values() for row in part]


@pytest.fixture(scope="module")
def facts():
    return policy.read_facts()


@pytest.fixture(scope="module")
def reasonings():
    """Return the reasonings of all rows by id: those of validation and test stand in the files and are not used."""
    return {row["id"]: row["reasoning"] for split in policy.SPLITS for row in policy.read_rows(split)}


def by_the_policy(each):
    package, reason = "opened" if each.opened else "sealed", "a fault" if each.fault else "no fault"
    late = each.days > 14 if each.sale else each.days > 30
    if (package, reason) in VALID:
        return "voucher" if late else "refund"
    return "denial" if late else "exchange"


def test_three_given_splits_with_every_label_as_often(dataset):
    counts = {split: Counter(row.label for row in part) for split, part in dataset.splits().items()}
    assert counts == {
        "train": dict.fromkeys(LABELS, 84),
        "validation": dict.fromkeys(LABELS, 16),
        "test": dict.fromkeys(LABELS, 32),
    }
    assert dataset.inferred == {"text_column": "text", "label_column": "label", "id_column": "id"}


def test_every_row_has_its_facts(rows, facts):
    assert len({row.id for row in rows}) == len(rows) == 528
    assert {row.id for row in rows} == set(facts)


def test_every_label_follows_from_the_facts(rows, facts):
    for row in rows:
        assert row.label == by_the_policy(facts[row.id]) == facts[row.id].label, row


def test_label_reasoning_quotations_and_days_are_proved():
    assert policy.complaints() == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"opened": True}, "the label is"),
        ({"fault": True}, "the label is"),
        ({"days": 99}, "days, not 99"),
        ({"sale": True}, "the reasoning is"),
        (
            {"quotes": {"package": ["never said"], "reason": ["a"], "price": ["a"], "days": ["2 days"]}},
            "never said",
        ),
    ],
)
def test_a_row_that_says_otherwise_than_its_facts_is_found(facts, change, complaint):
    row = next(row for row in policy.read_rows("train") if _is_plain(facts[row["id"]]))
    assert policy.complaints_of(row, facts[row["id"]]) == []
    changed = dataclasses.replace(facts[row["id"]], **change)
    assert any(complaint in each for each in policy.complaints_of(row, changed))


def _is_plain(each):
    return not (each.opened or each.fault or each.sale)


@pytest.mark.parametrize(
    ("quotes", "days"),
    [
        (["19 days ago"], 19),
        (["nine days"], 9),
        (["forty-four days"], 44),
        (["three weeks ago"], 21),
        (["a week ago"], 7),
        (["3rd", "22nd"], 19),
        (["Eleven days"], 11),
    ],
)
def test_days_are_read_out_of_a_message(quotes, days):
    assert policy.days_in(quotes) == days


def test_words_without_a_number_of_days_are_refused():
    with pytest.raises(ValueError, match="no number of days"):
        policy.days_in(["the other day"])


def test_no_fact_tells_the_label(rows, facts):
    for name in ("opened", "fault", "sale"):
        assert Counter((getattr(facts[row.id], name), row.label) for row in rows) == {
            (value, label): 66 for value in (True, False) for label in LABELS
        }


def test_no_days_are_near_a_limit(facts):
    assert not {each.days for each in facts.values()} & {0, 1, 14, 15, 30, 31}
    assert max(each.days for each in facts.values()) <= 60


def test_a_message_states_each_fact_in_words_of_its_own(rows, facts):
    for row in rows:
        cues = [cue for several in facts[row.id].quotes.values() for cue in several]
        places = sorted((row.text.index(cue), row.text.index(cue) + len(cue)) for cue in cues)
        assert all(end <= start for (_, end), (start, _) in pairwise(places)), row
        assert all(1 <= len(cue.split()) <= 12 for cue in cues), row


def test_reasonings_quote_have_a_moderate_length_and_end_in_their_label(rows, reasonings):
    labels = {row.id: row for row in rows}
    written = [
        ReasonedExample(id=name, text=labels[name].text, label=labels[name].label, reasoning=reasoning)
        for name, reasoning in reasonings.items()
    ]
    names = ["empty", "length", "repetition", "copy", "ungrounded", "contradiction", "leak"]
    config = FilterConfig(names=names, quotation_required=True, labels=list(LABELS))
    assert [(row.row.id, row.reason) for row in apply_filters(written, config).dropped] == []
    assert all(30 <= len(row.reasoning.split()) <= 50 for row in written)
    # The same rows with another label are refused: the conclusion is seen.
    others = [dataclasses.replace(row, label=LABELS[LABELS.index(row.label) - 1]) for row in written]
    assert apply_filters(others, config).kept == ()


def test_all_train_rows_come_with_a_reasoning(reasonings):
    config = DataConfig(source="builtin:refunds", reasoning_column="reasoning")
    train = load_dataset(config, TaskConfig(), seed=13).train
    assert {row.id: row.reasoning for row in train} == {row.id: reasonings[row.id] for row in train}


def test_messages_are_trimmed_of_a_natural_length_and_name_no_label(rows):
    for row in rows:
        assert row.text == row.text.strip()
        assert 15 <= len(row.text.split()) <= 60, row
        assert not re.search(r"refund|exchang|voucher|denial|denied|\"", row.text, re.IGNORECASE), row


def test_no_two_messages_are_alike(rows):
    assert len({normalise_text(row.text) for row in rows}) == len(rows)
    earlier = NearDuplicates(0.2)
    assert [row for row in rows if earlier.repeats(row.text)] == []


def test_every_product_comes_with_every_label_and_in_one_split(rows, facts):
    products = Counter((facts[row.id].product, row.id.split("-")[1], row.label) for row in rows)
    assert set(products.values()) == {1}
    assert len({product for product, *_ in products}) == len(
        {(product, split) for product, split, _ in products}
    )


def test_words_alone_do_not_tell_the_label(dataset, rows, facts):
    """TF-IDF is within ten points of the majority share, a quarter: by the given split and by five other splits.

    In those, too, no product stands on both sides.
    """
    labels = LabelSet(LABELS)

    def accuracy(train, test):
        predictions = tfidf(train, test, labels, seed=0)
        return sum(made.label == row.label for made, row in zip(predictions, test, strict=True)) / len(test)

    assert accuracy(list(dataset.train), list(dataset.test)) < 0.35
    products = sorted({each.product for each in facts.values()})
    drawn = []
    for seed in range(5):
        held_out = set(Random(seed).sample(products, 32))
        train = [row for row in rows if facts[row.id].product not in held_out]
        test = [row for row in rows if facts[row.id].product in held_out]
        drawn.append(accuracy(train, test))
    assert sum(drawn) / 5 < 0.35, drawn


def test_words_tell_some_single_facts(dataset, facts):
    """The floor is low because of the policy: the same model reads off whether a package was opened."""
    train, test = (
        [dataclasses.replace(row, label=str(facts[row.id].opened)) for row in part]
        for part in (dataset.train, dataset.test)
    )
    predictions = tfidf(train, test, LabelSet(("False", "True")), seed=0)
    assert sum(made.label == row.label for made, row in zip(predictions, test, strict=True)) > 0.8 * len(test)


def test_the_page_on_the_method_shows_a_row_as_it_is(rows, reasonings):
    page = (policy.FOLDER.parents[4] / "docs" / "method.md").read_text(encoding="utf-8")
    example = page.partition("## The builtin data")[2].partition("```text\n")[2].partition("```")[0]
    text, reasoning = (" ".join(part.split()) for part in example.split("\n\n"))
    assert [reasonings[row.id] for row in rows if row.text == text] == [reasoning]
