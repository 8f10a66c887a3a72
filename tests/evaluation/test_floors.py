"""The floors: simple, but honest and with probabilities in label order."""

from __future__ import annotations

import pytest

from whylabel.errors import DataError
from whylabel.evaluation.floors import FLOORS, Floor, majority, tfidf
from whylabel.text.labels import LabelSet
from whylabel.types import Example

LABELS = LabelSet(("rain", "sun", "snow"))
TRAIN = [
    Example("1", "wet umbrella puddle", "rain"),
    Example("2", "puddle and drizzle", "rain"),
    Example("3", "wet drizzle all day", "rain"),
    Example("4", "hot beach and glare", "sun"),
    Example("5", "beach, blue sky", "sun"),
]
TEST = [Example("t1", "a beach with glare", "sun"), Example("t2", "drizzle and a puddle", "rain")]


def test_majority_says_the_most_frequent_label_with_train_shares() -> None:
    predictions = majority(TRAIN, TEST, LABELS)
    assert [p.label for p in predictions] == ["rain", "rain"]
    assert predictions[0].probabilities == (0.6, 0.4, 0.0)
    assert [p.id for p in predictions] == ["t1", "t2"]


def test_tfidf_learns_and_gives_absent_labels_zero() -> None:
    predictions = tfidf(TRAIN, TEST, LABELS, seed=1)
    assert [p.label for p in predictions] == ["sun", "rain"]
    for prediction in predictions:
        assert prediction.probabilities[2] == 0.0
        assert sum(prediction.probabilities) == pytest.approx(1)
        assert prediction.label == LABELS.names[prediction.probabilities.index(max(prediction.probabilities))]


def test_tfidf_takes_texts_without_words() -> None:
    train = [Example("1", "🙂 !", "sun"), Example("2", "☔ ?", "rain")]
    assert tfidf(train, [Example("t", "☔", "rain")], LABELS)[0].label == "rain"


def test_tfidf_with_one_label_is_the_majority() -> None:
    assert [p.label for p in tfidf(TRAIN[:3], TEST, LABELS)] == ["rain", "rain"]


@pytest.mark.parametrize("floor", FLOORS.values())
def test_no_train_rows_is_an_error(floor: Floor) -> None:
    with pytest.raises(DataError, match="needs train rows"):
        floor([], TEST, LABELS, 0)


def test_many_labels_for_few_rows_are_fitted_in_silence(recwarn: pytest.WarningsRecorder) -> None:
    names = [f"label {number}" for number in range(30)]
    train = [Example(name, f"text of {name}", name) for name in names]
    assert [p.label for p in tfidf(train, train[:3], LabelSet(tuple(names)))] == names[:3]
    assert not [warning for warning in recwarn if issubclass(warning.category, UserWarning)]
