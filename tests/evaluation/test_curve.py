from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from statsmodels.stats.multitest import multipletests

from evaluated_runs import LABELS, answers, test_rows
from whylabel.errors import UsageError
from whylabel.evaluation.arms import Answers, Arm, ComparedRows, Training
from whylabel.evaluation.curve import Size, learning_curve
from whylabel.text.hashes import text_number

SHARES = {
    8: {"tfidf": 0.2, "classifier": 0.3},
    32: {"tfidf": 0.5, "classifier": 0.4},
    128: {"tfidf": 0.5, "classifier": 0.9},
}


@pytest.fixture(scope="module")
def rows():
    return test_rows(150)


def sizes(rows, extra=()):
    found = []
    for size, shares in SHARES.items():
        arms = [
            Arm(
                model,
                model,
                "fast",
                tuple(
                    Training(
                        str(seed),
                        seed,
                        Answers([one.label for one in answers(rows, share, seed * 1000 + size)]),
                    )
                    for seed in (1, 2, 3, 4, 5)
                ),
            )
            for model, share in shares.items()
        ]
        found.append(Size(size, (3 * size,) * 5, (*arms, *(extra if size == 8 else ()))))
    return found


def compared(rows):
    return ComparedRows(
        tuple(row.id for row in rows), tuple(text_number(row.text) for row in rows),
        tuple(row.label for row in rows), LABELS, None,
    )  # fmt: skip


def test_points_and_gains_are_those_of_the_predictions(rows):
    given = sizes(rows)
    # The sizes may come in any order.
    curve = learning_curve(compared(rows), given[::-1], bootstrap_samples=2000, seed=1)
    gold = [row.label for row in rows]
    expected = {
        (size.per_label, arm.model): np.mean(
            [accuracy_score(gold, each.answers.labels) for each in arm.trainings]
        )
        for size in given
        for arm in size.arms
    }
    assert list(curve.models) == ["tfidf", "classifier"] and list(curve.sizes) == [8, 32, 128]
    for model, points in curve.models.items():
        assert [point.per_label for point in points] == [8, 32, 128] and points[0].gain is None
        for before, point in zip((None, *points), points, strict=False):
            assert point.score.score.mean == pytest.approx(expected[point.per_label, model])
            if before is not None:
                step = expected[point.per_label, model] - expected[before.per_label, model]
                assert point.gain.difference == pytest.approx(step)
    ahead = {size: pair.difference for size, (pair,) in curve.ahead.items()}
    assert ahead == pytest.approx({s: expected[s, "classifier"] - expected[s, "tfidf"] for s in SHARES})
    pairs = [p.gain for points in curve.models.values() for p in points if p.gain] + [
        p for (p,) in curve.ahead.values()
    ]
    corrected = multipletests([pair.p for pair in pairs], method="holm")[1]
    assert [pair.p_holm for pair in pairs] == pytest.approx(list(corrected))
    assert curve.models["classifier"][2].gain.p_holm < 0.05 < curve.models["tfidf"][2].gain.p_holm


def test_only_models_of_all_sizes_have_a_curve(rows):
    extra = Arm("head", "head", "fast", sizes(rows)[0].arms[0].trainings)
    curve = learning_curve(compared(rows), sizes(rows, [extra]), bootstrap_samples=100, seed=1)
    assert set(curve.models) == {"tfidf", "classifier"}


def test_a_size_beyond_the_data_is_the_one_before(rows):
    known = sizes(rows)
    again = Size(512, known[2].train_rows, known[2].arms)
    curve = learning_curve(compared(rows), [*known, again], bootstrap_samples=200, seed=1)
    assert list(curve.sizes) == [8, 32, 128] and curve.merged == {512: 128}
    assert curve == replace(
        learning_curve(compared(rows), known, bootstrap_samples=200, seed=1), merged={512: 128}
    )
    with pytest.raises(UsageError, match="the data have 384 rows to train on"):
        learning_curve(compared(rows), [known[2], again], bootstrap_samples=100, seed=1)


def test_one_size_is_no_curve(rows):
    with pytest.raises(UsageError, match="two sizes or more"):
        learning_curve(compared(rows), sizes(rows)[:1], bootstrap_samples=100, seed=1)
