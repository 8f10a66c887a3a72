"""What test rows have in common."""

import numpy as np
import pytest
from cleanlab.filter import find_label_issues

from whylabel.evaluation.grouping import (
    MISSING,
    MOST_VALUES,
    OTHERS,
    by_cells,
    by_label,
    by_margin,
    by_steps,
    by_suspicion,
    by_thirds,
    column_of,
    groups_of,
    suspects,
)
from whylabel.evaluation.predictions import PredictionRow
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator
from whylabel.types import Prediction

LABELS = LabelSet(("joy", "fear", "love"))


def row(number, probabilities=(0.5, 0.3, 0.2), mode="fast", gold="joy", model="classifier", **values):
    prediction = Prediction(str(number), "joy", probabilities, mode=mode, **values)
    return PredictionRow(model, "word " * (number + 1), gold, prediction)


def test_gold_labels_in_label_order():
    assert by_label(["love", "joy", "love"], LABELS, None) == {"joy": [1], "fear": [], "love": [0, 2]}


def test_a_text_with_several_labels_is_in_several_groups_and_one_without_in_its_own():
    found = by_label(["joy, love", "", "love"], LABELS, Separator())
    assert found == {"joy": [0], "fear": [], "love": [0, 2], "(none)": [1]}


def test_thirds_are_named_by_their_values():
    assert by_thirds([3, 1, 2, 9, 7, 8], "words") == {
        "1 to 2 words": [1, 2],
        "3 to 7 words": [0, 4],
        "8 to 9 words": [3, 5],
    }


def test_equal_values_stay_together_and_missing_ones_are_a_group():
    assert by_thirds([1, 1, 1, 1, 5, float("nan")]) == {"1": [0, 1, 2, 3], "5": [4], MISSING: [5]}
    assert by_thirds([2.0, 2.0]) == {"2": [0, 1]}
    assert by_thirds([float("nan")]) == {MISSING: [0]}


def test_close_values_get_as_many_digits_as_tell_their_groups_apart():
    found = by_thirds([0.3331, 0.3332, 0.3334], digits=2)
    assert list(found) == ["0.3331", "0.3332", "0.3334"]
    assert [place for places in by_thirds([0.1, 0.1 + 1e-12]).values() for place in places] == [0, 1]


def test_margins_are_of_the_mean_of_classifier_and_baseline_at_once():
    ours = [row(0, (0.9, 0.06, 0.04)), row(1, (0.5, 0.4, 0.1)), row(2, (0.4, 0.35, 0.25))]
    theirs = [row(0, (0.1, 0.8, 0.1)), row(1, (0.5, 0.4, 0.1)), row(2, (0.8, 0.1, 0.1))]
    both = {("classifier", "fast"): ours, ("baseline", "fast"): theirs}
    # The means are 0.5, 0.43, 0.07; 0.5, 0.4, 0.1; 0.6, 0.225, 0.175.
    assert by_margin(both, 3) == {"0.07": [0], "0.10": [1], "0.38": [2]}
    assert by_margin({name: list(reversed(rows)) for name, rows in both.items()}, 3)["0.38"] == [0]
    theirs = list(reversed(ours))
    assert list(by_margin({("baseline", "fast"): theirs}, 3)) == ["0.05", "0.10", "0.84"]
    assert by_margin({}, 3) == {}
    failed = row(3, (), status="failed")
    assert by_margin({("classifier", "fast"): [*ours, failed]}, 3)[MISSING] == [3]


def test_suspects_are_those_of_confident_learning():
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 300)
    probabilities = rng.dirichlet((0.6, 0.6, 0.6), 300) * 0.7
    probabilities[np.arange(300), np.where(rng.random(300) < 0.85, gold, (gold + 1) % 3)] += 0.3
    given = suspects(gold, probabilities)
    theirs = find_label_issues(
        gold, probabilities, filter_by="confident_learning", n_jobs=1, min_examples_per_class=0
    )
    assert 5 < given.sum() < 150
    assert (given == theirs).all()


def test_no_model_is_favoured_in_finding_suspects():
    # One model doubts the first label, the other one the second: together they doubt neither.
    sure, doubting, fair = (0.98, 0.01, 0.01), (0.3, 0.65, 0.05), (0.39, 0.6, 0.01)
    base = [row(0, doubting), row(1, sure), row(2, sure), row(3, fair, gold="fear")]
    ours = [row(0, sure), row(1, doubting), row(2, sure), row(3, fair, gold="fear")]
    found = by_suspicion({("baseline", "fast"): base, ("classifier", "fast"): ours}, "fast", LABELS)
    assert found == {"label looks wrong": [], "label looks right": [0, 1, 2, 3]}
    both = {("baseline", "fast"): [base[0], *base[1:]], ("classifier", "fast"): [base[0], *base[1:]]}
    assert by_suspicion(both, "fast", LABELS)["label looks wrong"] == [0]


def test_the_errors_of_the_surer_model_are_no_wrong_labels():
    unsure, wrong, right = (0.4, 0.35, 0.25), (0.01, 0.98, 0.01), (0.98, 0.01, 0.01)
    of_fear = row(3, (0.35, 0.4, 0.25), gold="fear"), row(3, (0.1, 0.8, 0.1), gold="fear")
    base = [row(0, unsure), row(1, unsure), row(2, unsure), of_fear[0]]
    ours = [row(0, wrong), row(1, right), row(2, right), of_fear[1]]
    found = by_suspicion({("baseline", "fast"): base, ("classifier", "fast"): ours}, "fast", LABELS)
    assert found["label looks wrong"] == []


def test_steps_are_sentences():
    said = ["One.", 'It says "no." Then two. And three!', None, "A. B. C. D. E.", "Ein Satz. Noch einer."]
    rows = [row(at, mode="reasoned", reasoning=text) for at, text in enumerate(said)]
    assert by_steps({("classifier", "reasoned"): rows}) == {
        "1": [0],
        "2": [4],
        "3": [1],
        "4 or more": [3],
        "no reasoning": [2],
    }
    assert by_steps({("classifier", "fast"): rows}) == {}


def test_a_column_has_its_values_the_rare_ones_together():
    cells = ["web", "mail", None, "web"]
    assert by_cells(cells) == {"mail": [1], "web": [0, 3], MISSING: [2]}
    many = [f"v{number}" for number in range(30)] + ["v0", "v1"]
    found = by_cells(many)
    assert len(found) == MOST_VALUES + 1 and found["v0"] == [0, 30]
    assert sorted(place for places in found.values() for place in places) == list(range(32))
    assert len(found[OTHERS]) == 10


def test_many_numbers_are_thirds_and_few_are_values():
    assert list(by_cells([str(number) for number in range(9)])) == ["0 to 2", "3 to 5", "6 to 8"]
    assert list(by_cells([f"{number / 10}" for number in range(9)])) == [
        "0.00 to 0.20",
        "0.30 to 0.50",
        "0.60 to 0.80",
    ]
    assert list(by_cells(["1", "2", "1"])) == ["1", "2"]
    assert len(by_cells([*map(str, range(12)), "none yet"])) == 13


@pytest.mark.parametrize(
    ("name", "column"), [("label", None), ("column:label", "label"), ("topic", "topic"), ("steps", None)]
)
def test_a_name_is_a_kind_of_group_or_a_column(name, column):
    assert column_of(name) == column


def test_what_cannot_be_told_or_is_all_rows_is_left_out_and_names_count_once():
    rows = [row(at) for at in range(3)]
    found = groups_of(
        ["length", "steps", "margin", "topic", "length"], {("classifier", "fast"): rows}, "fast", LABELS, None,
        {"topic": ["a", "b", "a"]},
    )  # fmt: skip
    assert list(found) == ["length", "topic"]
    assert list(found["length"]) == ["1 words", "2 words", "3 words"]
