import math
import random

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from evaluated_runs import LABELS, answers, test_rows
from whylabel.errors import UsageError
from whylabel.evaluation.arms import Answers, Arm, ComparedRows, Training
from whylabel.evaluation.comparison import bootstrap_p, compare_arms, detectable_difference
from whylabel.evaluation.paired import compare_pair
from whylabel.text.hashes import text_number
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator


def compared(rows, labels=LABELS, separator=None):
    return ComparedRows(
        tuple(row.id for row in rows),
        tuple(text_number(row.text) for row in rows),
        tuple(row.label for row in rows),
        tuple(labels),
        separator,
    )


def arm(name, *said, seeds=None):
    trainings = [
        Training(
            f"run-{at}", seed, Answers([one.label for one in found], sum(one.seconds for one in found), 7)
        )
        for at, (found, seed) in enumerate(zip(said, seeds or range(len(said)), strict=True))
    ]
    return Arm(name, name, "fast", tuple(trainings))


@pytest.fixture(scope="module")
def rows():
    return test_rows(150)


def test_scores_are_those_of_scikit_learn(rows):
    first, second = answers(rows, 0.5, 1), answers(rows, 0.7, 2)
    outcome = compare_arms(compared(rows), [arm("a", first), arm("b", second)], bootstrap_samples=200, seed=1)
    gold = [row.label for row in rows]
    for score, said in zip(outcome.arms, (first, second), strict=True):
        labels = [one.label for one in said]
        assert score.score.mean == pytest.approx(accuracy_score(gold, labels))
        assert score.macro_f1.mean == pytest.approx(f1_score(gold, labels, average="macro"))
        assert score.score.sd is None and score.score.by_training == (score.score.mean,)
        assert score.seconds_per_row == pytest.approx(0.5)
    (pair,) = outcome.pairs
    assert (pair.arm, pair.against) == ("b", "a")
    assert pair.difference == pytest.approx(outcome.arms[1].score.mean - outcome.arms[0].score.mean)


def test_a_pair_of_single_trainings_is_what_the_evaluation_of_a_run_says(rows):
    first, second = answers(rows, 0.5, 1), answers(rows, 0.6, 2)
    (pair,) = compare_arms(
        compared(rows), [arm("a", first), arm("b", second)], bootstrap_samples=20_000, seed=1
    ).pairs
    known = compare_pair(rows, first, second, LabelSet(LABELS), bootstrap_samples=20_000, seed=2)
    assert pair.p == known.mcnemar_p and pair.test == "exact McNemar"
    assert pair.difference == pytest.approx(known.difference)
    assert pair.ci95 == pytest.approx(known.ci95, abs=0.007)
    assert pair.macro_f1_difference_ci95 == pytest.approx(known.macro_f1_difference_ci95, abs=0.007)
    right = [
        [one.label == row.label for one, row in zip(said, rows, strict=True)] for said in (first, second)
    ]
    table = np.zeros((2, 2))
    for one, other in zip(*right, strict=True):
        table[int(one), int(other)] += 1
    assert pair.p == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert (pair.discordant.only_right, pair.discordant.against_only_right) == (table[0, 1], table[1, 0])
    gains = np.array(right[1], dtype=float) - np.array(right[0], dtype=float)
    reference = stats.bootstrap((gains,), np.mean, n_resamples=20_000, method="percentile", rng=3)
    assert pair.ci95 == pytest.approx(tuple(reference.confidence_interval), abs=0.007)
    assert pair.detectable == pytest.approx(2.8016 * reference.standard_error, rel=0.05)


def test_every_pair_is_compared_and_corrected_for_their_number(rows):
    arms = [
        arm(name, answers(rows, share, at))
        for at, (name, share) in enumerate(zip("abcd", (0.3, 0.5, 0.7, 0.9), strict=True))
    ]
    outcome = compare_arms(compared(rows), arms, bootstrap_samples=200, seed=1)
    assert [(pair.arm, pair.against) for pair in outcome.pairs] == [
        ("b", "a"), ("c", "a"), ("d", "a"), ("c", "b"), ("d", "b"), ("d", "c"),
    ]  # fmt: skip
    expected = multipletests([pair.p for pair in outcome.pairs], method="holm")[1]
    assert [pair.p_holm for pair in outcome.pairs] == pytest.approx(list(expected))
    one = compare_arms(compared(rows), arms, bootstrap_samples=200, seed=1, against="c")
    assert [(pair.arm, pair.against) for pair in one.pairs] == [("a", "c"), ("b", "c"), ("d", "c")]


def by_seed(gold, arm):
    return np.array([[float(one == label) for one, label in zip(said, gold, strict=True)] for said in arm])


@pytest.mark.parametrize("seeds", [(0, 1, 2), (7, 8, 9)])
def test_with_several_seeds_a_difference_is_judged_by_rows_and_seeds(rows, seeds):
    # The trainings of an arm differ a lot, and go together by seed.
    first = [answers(rows, share, at) for at, share in enumerate((0.3, 0.5, 0.8))]
    second = [answers(rows, share, at + 9) for at, share in enumerate((0.4, 0.6, 0.85))]
    outcome = compare_arms(
        compared(rows), [arm("a", *first), arm("b", *second, seeds=seeds)], bootstrap_samples=20_000, seed=1
    )
    gold = [row.label for row in rows]
    labels = [[[one.label for one in said] for said in arm] for arm in (first, second)]
    one, other = (by_seed(gold, found) for found in labels)
    (pair,) = outcome.pairs
    # The mean squares of rows, seeds and the rest, as in an analysis of variance by hand.
    parts = [other - one] if seeds == (0, 1, 2) else [other, one]
    variance = 0.0
    for part in parts:
        count, n = part.shape
        rest = part - part.mean(axis=0) - part.mean(axis=1, keepdims=True) + part.mean()
        noise = (rest**2).sum() / ((count - 1) * (n - 1)) / (count * n)
        spread = part.mean(axis=1).var(ddof=1) / count
        variance += spread - min(noise, spread)
    variance += (other.mean(axis=0) - one.mean(axis=0)).var(ddof=1) / len(gold)
    error = math.sqrt(variance)
    assert pair.discordant is None and pair.test == "t test" and 2 <= pair.degrees_of_freedom <= 4.5
    seeds_alone = sum(part.mean(axis=1).var(ddof=1) / len(part) for part in parts)

    def quantile(share):
        by_seed, by_row = (stats.t.ppf(share, df) for df in (pair.degrees_of_freedom, len(gold) - 1))
        return (seeds_alone * by_seed + (variance - seeds_alone) * by_row) / variance

    half = quantile(0.975) * error
    assert pair.ci95 == pytest.approx(
        (max(-1, pair.difference - half), min(1, pair.difference + half)), abs=0.01
    )
    assert quantile(1 - pair.p / 2) == pytest.approx(abs(pair.difference) / error, rel=0.03)
    assert pair.detectable == pytest.approx((quantile(0.975) + quantile(0.8)) * error, rel=0.03)
    score = outcome.arms[0].score
    accuracies = [accuracy_score(gold, said) for said in labels[0]]
    assert score.by_training == pytest.approx(accuracies)
    assert (score.mean, score.sd) == pytest.approx((np.mean(accuracies), np.std(accuracies, ddof=1)))


def test_two_seeds_that_happen_to_agree_show_little(rows):
    # Resampling two seeds made any difference of both in the same direction significant.
    first, second = (
        [answers(rows, share, at + place) for at, share in enumerate(shares)]
        for place, shares in ((0, (0.2, 0.2)), (9, (0.3, 0.9)))
    )
    (pair,) = compare_arms(
        compared(rows), [arm("a", *first), arm("b", *second)], bootstrap_samples=2000, seed=1
    ).pairs
    gold = [row.label for row in rows]
    one, other = (by_seed(gold, [[each.label for each in said] for said in arm]) for arm in (first, second))
    known = stats.ttest_rel(other.mean(axis=1), one.mean(axis=1))
    # The spread of two seeds alone: rows can only add to it.
    assert pair.p > 0.05 and pair.p >= known.pvalue * 0.8


def test_the_p_value_of_the_bootstrap_counts_the_rarer_side_twice():
    values = np.array([-1.0] * 3 + [1.0] * 96)
    assert bootstrap_p(values) == pytest.approx(2 * 4 / 100)
    assert bootstrap_p(np.zeros(99)) == 1.0
    assert bootstrap_p(np.ones(99)) == pytest.approx(0.02)


def test_the_detectable_difference_is_found_four_times_in_five():
    # Discordant rows: 20 %, and a true difference of the size that is said to be detectable.
    n, discordant = 400, 0.2
    rng = np.random.default_rng(1)
    size = detectable_difference(math.sqrt(discordant / n))
    chances = [(discordant + size) / 2, (discordant - size) / 2, 1 - discordant]
    draws = rng.multinomial(n, chances, size=2000)
    found = [stats.binomtest(int(b), int(b + c), 0.5).pvalue < 0.05 for b, c, _ in draws]
    # The exact test is a little conservative.
    assert np.mean(found) == pytest.approx(0.78, abs=0.04)
    assert detectable_difference(0.0) is None
    few = stats.t(2)
    expected = (few.ppf(0.975) + few.ppf(0.8)) * 0.1
    assert detectable_difference(0.1, few.ppf) == pytest.approx(expected)


def test_models_that_answer_alike_show_nothing(rows):
    said = answers(rows, 0.5, 1)
    (pair,) = compare_arms(
        compared(rows), [arm("a", said), arm("b", said)], bootstrap_samples=200, seed=1
    ).pairs
    assert (pair.difference, pair.ci95, pair.p, pair.p_holm, pair.detectable) == (
        0.0,
        (0.0, 0.0),
        1.0,
        1.0,
        None,
    )


def test_several_labels_are_compared_by_f1():
    rng = random.Random(2)
    separator, labels = Separator(","), ("a", "b", "c")
    drawn = [
        [separator.join(name for name in labels if rng.random() < 0.5) for _ in range(80)] for _ in range(3)
    ]
    gold, first, second = drawn
    second = [right if rng.random() < 0.7 else other for right, other in zip(gold, second, strict=True)]
    rows = ComparedRows(tuple(map(str, range(80))), tuple(range(80)), tuple(gold), labels, separator)
    arms = [
        Arm(name, name, "fast", (Training("r", 1, Answers([*said])),))
        for name, said in (("x", first), ("y", second))
    ]
    outcome = compare_arms(rows, arms, bootstrap_samples=1000, seed=1)
    assert outcome.measure == "micro_f1"
    matrix = [separator.matrix(one, LabelSet(labels)) for one in (gold, first, second)]
    for score, said in zip(outcome.arms, matrix[1:], strict=True):
        assert score.score.mean == pytest.approx(f1_score(matrix[0], said, average="micro"))
        assert score.macro_f1.mean == pytest.approx(f1_score(matrix[0], said, average="macro"))
    (pair,) = outcome.pairs
    assert pair.discordant is None and pair.test == "bootstrap" and pair.p < 0.01 < pair.ci95[0]


def test_one_arm_alone_or_an_unknown_one_is_refused(rows):
    one, other = arm("a", answers(rows, 0.5, 1)), arm("b", answers(rows, 0.5, 2))
    with pytest.raises(UsageError, match="nothing to compare a with"):
        compare_arms(compared(rows), [one], bootstrap_samples=100, seed=1)
    with pytest.raises(UsageError, match="There is no 'c' to compare with. There are: a; b"):
        compare_arms(compared(rows), [one, other], bootstrap_samples=100, seed=1, against="c")
