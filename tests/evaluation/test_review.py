"""Errors caught against share reviewed, against brute force."""

import random
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from whylabel.evaluation.predictions import PredictionRow
from whylabel.evaluation.review import SHARES, aurc, caught, needed_share, review
from whylabel.text.labels import LabelSet
from whylabel.types import Prediction

LABELS = LabelSet(("a", "b"))
RATES = (0.2, 0.05)


def risk_coverage(wrong_by_doubt):
    """Return AURC by its definition, from the errors of rows, the least doubtful first."""
    return np.mean([np.mean(wrong_by_doubt[:kept]) for kept in range(1, len(wrong_by_doubt) + 1)])


def in_steps(doubts, wrong):
    values = sorted(set(doubts))
    rows = [doubts.count(value) for value in values]
    errors = [sum(w for d, w in zip(doubts, wrong, strict=True) if d == value) for value in values]
    return np.array([rows], dtype=float), np.array([errors], dtype=float)


def rows_of(doubts, wrong, mode="fast", status="ok", **values):
    return [
        PredictionRow(
            "classifier",
            f"text {at}",
            "b" if is_wrong else "a",
            Prediction(str(at), "a", (1 - doubt, doubt), mode=mode, status=status, **values),
        )
        for at, (doubt, is_wrong) in enumerate(zip(doubts, wrong, strict=True))
    ]


def reviewed(predictions, default="fast", **values):
    return review(predictions, default, LABELS, None, RATES, bootstrap_samples=500, seed=1, **values)


@pytest.fixture
def rows():
    draw = random.Random(4)
    doubts = [draw.random() / 2 for _ in range(150)]
    return rows_of(doubts, [draw.random() < 2 * doubt for doubt in doubts])


def test_without_ties_it_is_the_mean_of_the_risks():
    draw = random.Random(2)
    doubts = draw.sample(range(1000), 60)
    wrong = [draw.random() < doubt / 1000 for doubt in doubts]
    by_doubt = [w for _, w in sorted(zip(doubts, wrong, strict=True))]
    assert aurc(*in_steps(doubts, wrong))[0] == pytest.approx(risk_coverage(by_doubt))


def test_equally_doubtful_rows_are_in_every_order():
    draw = random.Random(3)
    doubts = [draw.randrange(4) for _ in range(12)]
    wrong = [draw.random() < 0.4 for _ in doubts]
    found = []
    for _ in range(20_000):
        shuffled = draw.sample(range(12), 12)
        found.append(risk_coverage([wrong[at] for at in sorted(shuffled, key=lambda at: doubts[at])]))
    assert aurc(*in_steps(doubts, wrong))[0] == pytest.approx(np.mean(found), abs=0.003)
    # In any order, the area is the share of errors.
    assert aurc(np.array([[12.0]]), np.array([[5.0]]))[0] == pytest.approx(5 / 12)


def test_errors_caught_at_every_share():
    # Most doubtful first: wrong, right, wrong, right.
    found = caught(np.array([1.0, 1, 1, 1]), np.array([0.0, 1, 0, 1]))
    at = dict(zip(SHARES, found, strict=True))
    assert [at[share] for share in (0, 0.25, 0.5, 0.75, 1)] == [0, 0.5, 0.5, 1, 1]
    assert at[0.1] == pytest.approx(0.2)
    assert (caught(np.array([4.0]), np.array([0.0])) == 1).all()


def test_the_area_under_the_curve_of_caught_errors_is_that_of_a_ranking(rows):
    (found,) = reviewed({("classifier", "fast"): rows})
    wrong = [not row.right for row in rows]
    doubts = [row.prediction.probabilities[1] for row in rows]
    rate = found.errors / found.n
    # The area is (1 - rate) ROC-AUC + rate / 2.
    area = np.trapezoid(found.caught, SHARES)
    assert area == pytest.approx((1 - rate) * roc_auc_score(wrong, doubts) + rate / 2, abs=0.003)


@pytest.mark.parametrize(
    ("rate", "share"), [(0.5, 0.0), (0.4, 0.0), (0.3, 0.1), (0.2, 0.3), (0.1, 0.4), (0.05, 0.7), (0.0, 1.0)]
)
def test_the_share_that_a_wanted_error_rate_needs(rate, share):
    # Ten rows; the most doubtful step has one wrong row, then one right, two wrong, and six of which one is wrong.
    rows, errors = np.array([[6.0, 2, 1, 1]]), np.array([[1.0, 2, 0, 1]])
    assert needed_share(rows, errors, rate) == pytest.approx([share])


def test_the_needed_share_is_the_first_that_leaves_few_enough(rows):
    (found,) = reviewed({("classifier", "fast"): rows})
    by_doubt = sorted(rows, key=lambda row: -row.prediction.probabilities[1])
    for needed in found.needed:
        first = next(
            count
            for count in range(len(rows) + 1)
            if sum(not row.right for row in by_doubt[count:]) <= needed.error_rate * len(rows)
        )
        assert first - 1 < needed.share * len(rows) <= first
        assert needed.ci95[0] <= needed.share <= needed.ci95[1]


def test_figures_of_a_model(rows):
    (found,) = reviewed({("classifier", "fast"): rows})
    by_doubt = sorted(rows, key=lambda row: row.prediction.probabilities[1])
    assert (found.signal, found.mode, found.n) == ("probability", "fast", 150)
    assert found.errors == sum(not row.right for row in rows)
    assert found.aurc == pytest.approx(risk_coverage([not row.right for row in by_doubt]))
    assert found.best_aurc == pytest.approx(risk_coverage(sorted(not row.right for row in rows)))
    low, high = found.aurc_ci95
    assert found.best_aurc < low < found.aurc < high < found.errors / found.n


def test_the_interval_is_that_of_resampled_rows(rows):
    (found,) = reviewed({("classifier", "fast"): rows})
    rng = np.random.default_rng(0)
    by_doubt = sorted(rows, key=lambda row: row.prediction.probabilities[1])
    wrong = np.array([not row.right for row in by_doubt])
    brute = [risk_coverage(wrong[np.sort(rng.integers(0, 150, 150))]) for _ in range(600)]
    assert found.aurc_ci95 == pytest.approx(tuple(np.percentile(brute, [2.5, 97.5])), abs=0.02)


def test_many_rows_are_joined_for_intervals_alone():
    draw = random.Random(5)
    doubts = [draw.random() / 2 for _ in range(3000)]
    many = rows_of(doubts, [draw.random() < 2 * doubt for doubt in doubts])
    (found,) = reviewed({("classifier", "fast"): many})
    by_doubt = sorted(many, key=lambda row: row.prediction.probabilities[1])
    assert found.aurc == pytest.approx(risk_coverage([not row.right for row in by_doubt]))
    assert found.aurc_ci95[0] < found.aurc < found.aurc_ci95[1]
    assert found.aurc_ci95[1] - found.aurc_ci95[0] < 0.05


def test_fast_and_reasoned_disagree_where_their_labels_differ(rows):
    reasoned = [
        replace(row, prediction=replace(row.prediction, mode="reasoned", label="b" if at < 15 else "a"))
        for at, row in enumerate(rows)
    ]
    wrong = [at < 15 or at % 30 == 0 for at in range(150)]
    fast = [replace(row, gold="b" if bad else "a") for row, bad in zip(rows, wrong, strict=True)]
    found = {
        each.signal: each
        for each in reviewed({("classifier", "fast"): fast, ("classifier", "reasoned"): reasoned})
    }
    assert set(found) == {"probability", "disagreement", "both"}
    # Fifteen rows in 150 disagree, all wrong: a tenth of the rows catches them.
    for signal in ("disagreement", "both"):
        assert found[signal].caught[10] == pytest.approx(15 / sum(wrong))
    assert found["both"].aurc < found["probability"].aurc


def test_else_disagreement_is_what_the_predictions_say(rows):
    said = [
        replace(row, prediction=replace(row.prediction, mode="reasoned", disagrees=at % 2 == 0))
        for at, row in enumerate(rows)
    ]
    signals = [each.signal for each in reviewed({("classifier", "reasoned"): said}, "reasoned")]
    assert signals == ["probability", "disagreement", "both"]


def test_failed_rows_are_reviewed_first():
    fine = rows_of([0.4] * 9, [False] * 9)
    failed = replace(fine[0], prediction=Prediction("x", "", (), status="failed", error="too long"))
    for each in reviewed({("classifier", "fast"): [*fine, failed]}):
        assert each.errors == 1 and each.caught[10] == pytest.approx(1)


def test_a_model_without_errors_needs_no_review():
    (found,) = reviewed({("classifier", "fast"): rows_of([0.1, 0.2], [False, False])})
    assert (found.aurc, found.best_aurc, found.caught[0]) == (0, 0, 1)
    assert [needed.share for needed in found.needed] == [0, 0]
