"""Floors: simple models without a language model, which the others must beat."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Learner:
    """A simple model: `steps` gives an unfitted transformer of features and an unfitted classifier by seed.

    `inputs` turns rows into what the transformer takes.
    """

    steps: Callable[[int], tuple[Any, Any]]
    inputs: Callable[[Sequence[Example]], Any]


def tfidf(
    train: Sequence[Example], test: Sequence[Example], label_set: LabelSet, seed: int = 0
) -> tuple[Prediction, ...]:
    """Predict with logistic regression on TF-IDF of words and word pairs, untuned; see `learnt`."""
    return learnt(WORDS, train, test, label_set, seed)


def learnt(
    learner: Learner, train: Sequence[Example], test: Sequence[Example], label_set: LabelSet, seed: int = 0
) -> tuple[Prediction, ...]:
    """Predict with a simple model that learns from the train rows.

    A label without train rows gets probability 0. If all train rows have the same label, this equals `majority`.
    Raises `DataError` without train rows.
    """
    require_rows(train)
    if len({row.label for row in train}) < 2 or not test:
        return majority(train, test, label_set)
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(*learner.steps(seed))
    with warnings.catch_warnings():
        # scikit-learn warns about many labels for few rows; `inspect` has a better message.
        warnings.simplefilter("ignore", UserWarning)
        model.fit(learner.inputs(train), [row.label for row in train])
    started = time.perf_counter()
    probabilities = model.predict_proba(learner.inputs(test))
    seconds = (time.perf_counter() - started) / len(test)
    columns = {str(name): column for column, name in enumerate(model.classes_)}
    predictions = []
    for row, values in zip(test, probabilities, strict=True):
        ordered = tuple(float(values[columns[name]]) if name in columns else 0.0 for name in label_set.names)
        label = label_set.names[ordered.index(max(ordered))]
        predictions.append(Prediction(row.id, label, ordered, seconds=seconds))
    return tuple(predictions)


def on_vectors(vectors: Mapping[tuple[str, str], Any], *, trained: bool = False) -> Learner:
    """Return a logistic regression on vectors of the rows by their id and text, untuned.

    `trained`: the vectors are of a model that was trained on the labels.
    """
    import numpy as np

    return Learner(
        _trained_vector_steps if trained else _vector_steps,
        lambda rows: np.stack([vectors[row.id, row.text] for row in rows]),
    )


def texts_of(rows: Sequence[Example]) -> list[str]:
    """Return the texts of rows."""
    return [row.text for row in rows]


def _word_steps(seed: int) -> tuple[Any, Any]:
    return word_features(), regression(seed)


def _vector_steps(seed: int) -> tuple[Any, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    # Hidden states have hundreds of columns that go together; with the default C=1.0 few rows are learnt by heart.
    return StandardScaler(), LogisticRegression(C=0.01, max_iter=1000, random_state=seed)


def _trained_vector_steps(seed: int) -> tuple[Any, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import FunctionTransformer

    # As in SetFit: the training has given the columns their weight.
    return FunctionTransformer(), LogisticRegression(max_iter=1000, random_state=seed)


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


WORDS = Learner(_word_steps, texts_of)
"""Logistic regression on TF-IDF of words and word pairs."""

FLOORS: dict[str, Floor] = {"majority": majority, "tfidf": tfidf}
"""The floors by their names in the recipe (`evaluation.floors`)."""


def require_rows(train: Sequence[Example]) -> None:
    """Raise `DataError` if there are no train rows."""
    if not train:
        raise DataError("A floor needs train rows, and there are none.", fix="give a train split")
