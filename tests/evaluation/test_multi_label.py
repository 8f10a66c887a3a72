"""The comparison where a text may have several labels: its figures are scikit-learn's."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, hamming_loss, precision_recall_fscore_support

from whylabel.errors import DataError, LabelError
from whylabel.evaluation.evaluate import evaluate
from whylabel.evaluation.multi_label import (
    MultiLabelScore,
    compare_pair,
    f1_scores,
    frequent,
    measures_by_label,
    score,
    tfidf,
)
from whylabel.prediction.thresholds import best_threshold
from whylabel.recipe import EvaluationConfig
from whylabel.text.labels import LabelSet
from whylabel.text.several_labels import Separator
from whylabel.types import Example, Prediction

LABELS = LabelSet(("anger", "fear", "joy", "love", "pride"))
COMMA = Separator()


def drawn(rows: int, share: float, seed: int) -> np.ndarray:
    """Which labels each row has; `pride` is not among them."""
    found = np.random.default_rng(seed).random((rows, len(LABELS))) < share
    found[:, 4] = False
    return found


def joined(matrix: np.ndarray) -> list[str]:
    return [COMMA.join(name for name, has in zip(LABELS.names, row, strict=True) if has) for row in matrix]


def examples(matrix: np.ndarray) -> list[Example]:
    return [Example(str(at), f"text {at} {label}", label) for at, label in enumerate(joined(matrix))]


def predictions(matrix: np.ndarray) -> list[Prediction]:
    return [
        Prediction(str(at), label, tuple(row.astype(float)), seconds=0.5)
        for at, (label, row) in enumerate(zip(joined(matrix), matrix, strict=True))
    ]


def scored(gold: np.ndarray, said: np.ndarray) -> MultiLabelScore:
    return score(COMMA, examples(gold), predictions(said), LABELS, bootstrap_samples=300, seed=1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_figures_are_those_of_scikit_learn(seed: int) -> None:
    gold, said = drawn(60, 0.3, seed), drawn(60, 0.4, seed + 10)
    found = scored(gold, said)
    assert found.micro_f1 == pytest.approx(f1_score(gold, said, average="micro"))
    assert found.macro_f1 == pytest.approx(f1_score(gold, said, average="macro", zero_division=np.nan))
    assert found.subset_accuracy == pytest.approx(accuracy_score(gold, said))
    assert found.hamming_loss == pytest.approx(hamming_loss(gold, said))
    assert found.labels_per_text == pytest.approx(said.sum() / 60)
    assert found.gold_labels_per_text == pytest.approx(gold.sum() / 60)
    expected = precision_recall_fscore_support(gold, said, zero_division=0)
    for name, *values in zip(LABELS.names, *expected, strict=True):
        one = found.per_class[name]
        assert [one.precision, one.recall, one.f1, one.support] == pytest.approx(values)
    for value, interval in (
        (found.micro_f1, found.micro_f1_ci95),
        (found.macro_f1, found.macro_f1_ci95),
    ):
        assert interval[0] < value < interval[1]


def test_weights_count_texts_as_often() -> None:
    gold, said = drawn(20, 0.4, 5), drawn(20, 0.4, 6)
    often = np.random.default_rng(7).integers(0, 3, 20)
    ((micro, macro),) = f1_scores(often[None].astype(float), gold, said)
    again = np.repeat(np.arange(20), often)
    assert micro == pytest.approx(f1_score(gold[again], said[again], average="micro"))
    expected = f1_score(gold[again], said[again], average="macro", zero_division=np.nan)
    assert macro == pytest.approx(expected)


def test_perfect_and_empty_predictions() -> None:
    gold = drawn(30, 0.3, 4)
    perfect, nothing = scored(gold, gold), scored(gold, np.zeros_like(gold))
    assert (perfect.micro_f1, perfect.macro_f1, perfect.subset_accuracy) == (1, 1, 1)
    assert perfect.hamming_loss == 0
    assert (nothing.micro_f1, nothing.labels_per_text) == (0, 0)
    assert nothing.subset_accuracy == pytest.approx((~gold.any(axis=1)).mean()) != 0


def test_a_failed_prediction_is_wrong_also_where_no_label_applies() -> None:
    gold = np.zeros((2, len(LABELS)), dtype=bool)
    gold[0, 0] = True
    said = predictions(gold)
    said[1] = Prediction("1", "", (), status="failed", error="blank")
    found = score(COMMA, examples(gold), said, LABELS, bootstrap_samples=100, seed=1)
    assert (found.subset_accuracy, found.hamming_loss, found.rates.failed) == (0.5, 0.5, 0.5)


def test_foreign_labels_and_rows_are_refused() -> None:
    gold = drawn(4, 0.5, 1)
    said = predictions(gold)
    with pytest.raises(LabelError, match="'angr'"):
        wrong = [Prediction("0", "angr", ()), *said[1:]]
        score(COMMA, examples(gold), wrong, LABELS, bootstrap_samples=100, seed=1)
    with pytest.raises(DataError, match="1 rows without a prediction"):
        score(COMMA, examples(gold), said[1:], LABELS, bootstrap_samples=100, seed=1)


def test_two_models_are_compared_on_the_same_rows() -> None:
    gold = drawn(200, 0.3, 1)
    noise = drawn(200, 0.3, 2)
    ours = np.where(np.arange(200)[:, None] % 4 == 0, noise, gold)
    args = (COMMA, examples(gold), predictions(noise), predictions(ours), LABELS)
    found = compare_pair(*args, bootstrap_samples=500, seed=1)
    expected = f1_score(gold, ours, average="micro") - f1_score(gold, noise, average="micro")
    assert found.micro_f1_difference == pytest.approx(expected)
    assert 0 < found.micro_f1_difference_ci95[0] < expected < found.micro_f1_difference_ci95[1]
    assert found.macro_f1_difference_ci95[0] < found.macro_f1_difference < found.macro_f1_difference_ci95[1]
    same = compare_pair(*args[:3], predictions(noise), LABELS, bootstrap_samples=200, seed=1)
    assert (same.micro_f1_difference, same.micro_f1_difference_ci95) == (0, (0, 0))


def test_the_most_frequent_labels_are_as_many_as_texts_have() -> None:
    labels = ["joy", "joy, love", "anger, joy", "love", "fear, joy, love", "joy"]
    train = [Example(str(at), "t", label) for at, label in enumerate(labels)]
    found = frequent(COMMA, train, train[:2], LABELS)
    assert [row.label for row in found] == ["joy, love"] * 2
    assert found[0].probabilities == pytest.approx((1 / 6, 1 / 6, 5 / 6, 3 / 6, 0))
    sparse = [Example("1", "t", ""), Example("2", "t", ""), Example("3", "t", "fear")]
    assert frequent(COMMA, sparse, sparse[:1], LABELS)[0].label == "fear"
    with pytest.raises(DataError):
        frequent(COMMA, [], train, LABELS)


def test_tfidf_finds_the_words_of_each_label() -> None:
    gold = drawn(160, 0.4, 3)
    train = [
        Example(str(at), " ".join(["so", "it", *(f"{name}ish" for name in COMMA.split(label))]), label)
        for at, label in enumerate(joined(gold))
    ]
    test = [Example("x", "it angerish so joyish", "anger, joy"), Example("y", "so it", "")]
    for rows in (train, train[:60]):  # with thresholds, and too few rows for them
        found = tfidf(COMMA, rows, test, LABELS, 1)
        assert [row.label for row in found] == ["anger, joy", ""]
        assert found[0].probabilities[4] == 0


def test_thresholds_of_simple_models_are_fitted_on_validation_rows_as_those_of_the_models_are() -> None:
    rng = random.Random(5)

    def texts(count):
        rows = []
        for at in range(count):
            rare = rng.random() < 0.15
            # A weak sign of a rare label: its probability never comes near one half.
            sign = rng.random() < (0.8 if rare else 0.25)
            rows.append(Example(str(at), "it is so" + (" odd" if sign else ""), "love" if rare else ""))
        return rows

    train, validation, test = texts(60), texts(200), texts(60)
    without = tfidf(COMMA, train, test, LABELS, 1)
    known = measures_by_label(COMMA, validation).floors["tfidf"](train, test, LABELS, 1)
    place = LABELS.names.index("love")
    chances, again = (np.array([row.probabilities[place] for row in said]) for said in (known, without))
    assert (chances == again).all()  # it learns from the same rows; only the thresholds are others
    own = np.array([row.probabilities[place] for row in tfidf(COMMA, train, validation, LABELS, 1)])
    threshold, _ = best_threshold(own, np.array([row.label == "love" for row in validation]))
    assert threshold < 0.5
    assert [row.label == "love" for row in known] == list(chances >= threshold)
    assert any(row.label for row in known) and not any(row.label for row in without)
    # Too few validation rows: as before.
    few = tfidf(COMMA, train, test, LABELS, 1, validation=validation[:19])
    assert [row.label for row in few] == [row.label for row in without]


def test_metrics_json_keeps_its_keys() -> None:
    gold = drawn(40, 0.4, 1)
    models = {"baseline": predictions(drawn(40, 0.4, 2)), "classifier": predictions(gold)}
    found = evaluate(
        examples(gold),
        examples(gold),
        LABELS,
        models,
        EvaluationConfig(bootstrap_samples=100),
        seed=1,
        measures=measures_by_label(COMMA),
    )
    metrics = found.to_json()
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert set(metrics) == {
        *("labels", "baseline", "classifier", "modes", "floors", "paired", "reasonings", "rivals", "best")
    }
    assert set(metrics["floors"]) == {"majority", "tfidf"}
    for model in (metrics["baseline"], metrics["classifier"], *metrics["floors"].values()):
        assert "accuracy" not in model and model["n"] == 40
    assert metrics["classifier"]["micro_f1"] == 1
    assert sum(map(len, found.predictions.values())) == 4 * 40
    assert all(row.right for row in found.rows if row.model == "classifier")
