"""Which rows it is most useful to write a reasoning for: a few, as different from each other as the data allows."""

from __future__ import annotations

import random
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from whylabel.reasonings.near_duplicates import NearDuplicates
from whylabel.text.words import count_words
from whylabel.types import Example

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

_MAX_SIMILARITY = 0.5
_MOST_CANDIDATES = 3000
"""Of more rows, these many are looked at, as many of each label as there are."""
_LENGTHS = 3
"""Short, medium and long texts take turns."""
_FOLDS = 5


def seed_rows(
    rows: Iterable[Example],
    count: int,
    seed: int,
    *,
    written: Sequence[Example] = (),
    margins: Mapping[str, float] | None = None,
) -> list[Example]:
    """Return up to `count` of the rows for people to write reasonings for; the same seed gives the same rows.

    Labels get equally many, those of the rows that are `written` already included. Within a label, the rows range
    from easy to hard, in short, medium and long texts, and each is the one that is least similar to those before it.
    None nearly repeats another, or one that is written. `margins` has by id how much more a model leans to a row's
    label than to any other; without them, a plain classifier that has not seen the row says it.
    """
    candidates = _candidates(list(rows), written, seed)
    if not candidates:
        return []
    known = written[:_MOST_CANDIDATES]
    vectors = _vectors([*known, *candidates])
    chosen, vectors = vectors[: len(known)], vectors[len(known) :]
    found_margins = np.array([(margins or {}).get(row.id, np.nan) for row in candidates])
    if np.isnan(found_margins).all():
        found_margins = _plain_margins(vectors, [row.label for row in candidates], seed)
    # A row without a margin counts as of average difficulty.
    difficulty = -np.nan_to_num(found_margins, nan=np.nanmedian(found_margins))
    lengths = np.array([count_words(row.text) for row in candidates])
    bands = {
        label: np.array_split(places[np.argsort(difficulty[places], kind="stable")], share)
        for label, places, share in _shares(candidates, written, count)
    }
    nearest = _nearest(vectors, chosen)
    found: list[int] = []
    for turn in range(max(map(len, bands.values()))):
        for number, parts in enumerate(bands.values()):
            if turn < len(parts):
                place = _choice(parts[turn], lengths, nearest, turn + number)
                nearest = np.maximum(nearest, _nearest(vectors, vectors[[place]]))
                found.append(place)
    return [candidates[place] for place in found]


def _candidates(rows: list[Example], written: Sequence[Example], seed: int) -> list[Example]:
    """Return some of the rows, drawn by the seed, none of which nearly repeats another or a written one."""
    random.Random(seed).shuffle(rows)
    by_label: dict[str, list[Example]] = defaultdict(list)
    seen = NearDuplicates(_MAX_SIMILARITY)
    for row in written:
        seen.repeats(row.text)
    most = -(-_MOST_CANDIDATES // max(len({row.label for row in rows}), 1))
    for row in rows:
        if len(by_label[row.label]) < most and not seen.repeats(row.text):
            by_label[row.label].append(row)
    return [row for label in sorted(by_label) for row in by_label[label]]


def _shares(
    candidates: Sequence[Example], written: Sequence[Example], count: int
) -> list[tuple[str, NDArray[np.int64], int]]:
    """Return (label, the places of its candidates, how many of them to choose), the most frequent label first."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(candidates):
        places[row.label].append(place)
    order = sorted(places, key=lambda label: (-len(places[label]), label))
    have, shares = Counter(row.label for row in written), Counter[str]()
    for _ in range(min(count, len(candidates))):
        open_labels = [label for label in order if shares[label] < len(places[label])]
        shares[min(open_labels, key=lambda label: have[label] + shares[label])] += 1
    return [(label, np.array(places[label]), shares[label]) for label in order if shares[label]]


def _vectors(rows: Sequence[Example]) -> csr_matrix:
    """Return TF-IDF vectors of length 1 over runs of characters, which every script has."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    return vectorizer.fit_transform([row.text for row in rows])


def own_margins(log_probabilities: NDArray[np.float64], own: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return by how much each row's own label (its place) is more probable than the best of the others, in nats."""
    others = log_probabilities.copy()
    places = np.arange(len(own))
    others[places, own] = -np.inf
    return np.asarray(log_probabilities[places, own] - others.max(axis=1))


def _plain_margins(vectors: csr_matrix, labels: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Return the margins of the rows' labels by classifiers that have not seen them."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.naive_bayes import ComplementNB

    names, gold = np.unique(labels, return_inverse=True)
    most = int(np.bincount(gold).max())
    if len(names) < 2 or most < 2:
        return np.zeros(len(labels))
    folds = StratifiedKFold(min(_FOLDS, most), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels with fewer rows than folds: some folds lack them
        found = cross_val_predict(ComplementNB(), vectors, gold, cv=folds, method="predict_log_proba")
    return np.nan_to_num(own_margins(found, gold), nan=0.0)


def _nearest(vectors: csr_matrix, others: csr_matrix) -> NDArray[np.float64]:
    """Return the cosine of each vector with the nearest of the others, 0 where there are none."""
    if not others.shape[0]:
        return np.zeros(vectors.shape[0])
    return np.asarray((vectors @ others.T).max(axis=1).todense()).ravel()


def _choice(
    places: NDArray[np.int64], lengths: NDArray[np.int64], nearest: NDArray[np.float64], turn: int
) -> int:
    """Return the least similar of the texts whose length has its turn."""
    by_length = places[np.argsort(lengths[places], kind="stable")]
    parts = [part for part in np.array_split(by_length, _LENGTHS) if len(part)]
    part = parts[turn % len(parts)]
    return int(part[np.argmin(nearest[part])])
