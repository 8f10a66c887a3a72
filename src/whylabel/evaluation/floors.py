"""Floors: simple models without a language model, which the others must beat."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from whylabel.errors import DataError
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Prediction

Floor = Callable[[Sequence[Example], Sequence[Example], LabelSet, int], tuple[Prediction, ...]]


def majority(
    train: Sequence[Example], test: Sequence[Example], label_set: LabelSet, seed: int = 0
) -> tuple[Prediction, ...]:
    """Predict the most frequent train label for every row; probabilities are the shares in train.

    Of equally frequent labels, the first in label order is predicted. Raises `DataError` without train rows.
    """
    require_rows(train)
    counts = Counter(row.label for row in train)
    shares = tuple(counts[name] / len(train) for name in label_set.names)
    label = label_set.names[shares.index(max(shares))]
    return tuple(Prediction(row.id, label, shares) for row in test)


def tfidf(
    train: Sequence[Example], test: Sequence[Example], label_set: LabelSet, seed: int = 0
) -> tuple[Prediction, ...]:
    """Predict with logistic regression on TF-IDF of words and word pairs, untuned.

    A label without train rows gets probability 0. If all train rows have the same label, this equals `majority`.
    Raises `DataError` without train rows.
    """
    require_rows(train)
    if len({row.label for row in train}) < 2 or not test:
        return majority(train, test, label_set)
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(word_features(), regression(seed))
    with warnings.catch_warnings():
        # scikit-learn warns about many labels for few rows; `inspect` has a better message.
        warnings.simplefilter("ignore", UserWarning)
        model.fit([row.text for row in train], [row.label for row in train])
    started = time.perf_counter()
    probabilities = model.predict_proba([row.text for row in test])
    seconds = (time.perf_counter() - started) / len(test)
    columns = {str(name): column for column, name in enumerate(model.classes_)}
    predictions = []
    for row, values in zip(test, probabilities, strict=True):
        ordered = tuple(float(values[columns[name]]) if name in columns else 0.0 for name in label_set.names)
        label = label_set.names[ordered.index(max(ordered))]
        predictions.append(Prediction(row.id, label, ordered, seconds=seconds))
    return tuple(predictions)


def word_features() -> Any:
    """Return an unfitted TF-IDF vectorizer of words and word pairs."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Runs of symbols also count as words, or texts that consist of emoji would have no features.
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]+")


def regression(seed: int) -> Any:
    """Return an unfitted logistic regression for these features."""
    from sklearn.linear_model import LogisticRegression

    # C=10: with the default 1.0 the unit-length rows are over-regularised and the floor is too low. SAGA: the default
    # solver takes minutes for tens of thousands of texts with many labels and gives the same result.
    return LogisticRegression(C=10.0, solver="saga", max_iter=1000, random_state=seed)


FLOORS: dict[str, Floor] = {"majority": majority, "tfidf": tfidf}
"""The floors by their names in the recipe (`evaluation.floors`)."""


def require_rows(train: Sequence[Example]) -> None:
    """Raise `DataError` if there are no train rows."""
    if not train:
        raise DataError("A floor needs train rows, and there are none.", fix="give a train split")
