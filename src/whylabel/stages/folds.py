"""Rows in folds: a model that is trained without a fold judges the rows in it, which it has not seen.

Suspect labels and the verifier `baseline` both ask such models: one that was trained on a row has learnt its label by
heart, and says nothing about it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whylabel.data.cells import normalise_text
from whylabel.data.parquet import Kind, read_rows
from whylabel.data.writers import parquet_file
from whylabel.errors import DataError, RunFolderError
from whylabel.host.progress import say
from whylabel.text.labels import LabelSet
from whylabel.types import Example

Floats = NDArray[np.float64]
FitPredict = Callable[[Sequence[Example], Sequence[Example], int], Floats]
"""From (rows to train on, rows held out, number of the fold) to probabilities, shape (held out, labels)."""

_FOLD: dict[str, Kind] = {"probabilities": "numbers"}
_ROW: dict[str, Kind] = {"id": "text", "fold": "whole", "probabilities": "numbers"}
_FIX = "remove the file, then: whylabel run RECIPE"
_FEWEST_FOLDS = 2


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """The fold of each row, and the row's probabilities from the model that was trained without that fold."""

    ids: Sequence[str]
    folds: Sequence[int]
    probabilities: Floats
    """Shape (rows, labels)."""

    @property
    def count(self) -> int:
        """How many folds there are."""
        return max(self.folds, default=-1) + 1


def divide(examples: Sequence[Example], labels: LabelSet, wanted: int, seed: int) -> list[int]:
    """Return the fold of each row, stratified by label. Rows with the same text are in the same fold.

    There are at most as many folds as the most frequent label has texts. Raises `DataError` if every label has only
    one text.
    """
    from sklearn.model_selection import StratifiedKFold

    texts = [normalise_text(row.text) for row in examples]
    first = {text: place for place, text in reversed(list(enumerate(texts)))}
    places = sorted(first.values())
    gold = [labels.index(examples[place].label) for place in places]
    splitter = StratifiedKFold(n_splits=_possible(gold, wanted), shuffle=True, random_state=seed)
    fold_of: dict[str, int] = {}
    with warnings.catch_warnings():
        # A label with fewer rows than folds is missing from some of them: no news here.
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, held_out) in enumerate(splitter.split(gold, gold)):
            fold_of |= {texts[places[int(at)]]: number for at in held_out}
    return [fold_of[text] for text in texts]


def out_of_fold(
    examples: Sequence[Example],
    labels: LabelSet,
    wanted: int,
    seed: int,
    fit_predict: FitPredict,
    scratch: Path,
) -> OutOfFold:
    """Return each row's probabilities from a model that was not trained on it, nor on another row with its text.

    Finished folds are stored in `scratch`, so an interrupted call continues with the next one. Raises `DataError` as
    `divide` does.
    """
    folds = divide(examples, labels, wanted, seed)
    probabilities = np.zeros((len(examples), len(labels)))
    for number in range(max(folds) + 1):
        held_out = [place for place, fold in enumerate(folds) if fold == number]
        file = scratch / f"fold-{number}.parquet"
        if not file.exists():
            seen = [row for row, fold in zip(examples, folds, strict=True) if fold != number]
            _write_fold(file, fit_predict(seen, [examples[place] for place in held_out], number))
        probabilities[held_out] = _read_fold(file, (len(held_out), len(labels)))
    return OutOfFold([row.id for row in examples], folds, probabilities)


def write_out_of_fold(path: Path, found: OutOfFold) -> None:
    """Write folds and probabilities as Parquet, a row per example, whole or not at all."""
    with parquet_file(path, _ROW) as write:
        for row, fold, probabilities in zip(
            found.ids, found.folds, found.probabilities.tolist(), strict=True
        ):
            write({"id": row, "fold": fold, "probabilities": probabilities})


def read_out_of_fold(path: Path) -> OutOfFold:
    """Read them back. Raises `RunFolderError` if the file is damaged."""
    rows = list(read_rows(path, _ROW, what="The folds", fix=_FIX))
    return OutOfFold(
        [row["id"] for row in rows],
        [row["fold"] for row in rows],
        np.array([row["probabilities"] for row in rows], dtype=np.float64),
    )


def _possible(gold: Sequence[int], wanted: int) -> int:
    most = max(Counter(gold).values(), default=0)
    if most < _FEWEST_FOLDS:
        raise DataError(
            "No baseline can be trained without a part of the rows: no label has two train texts.",
            where="augment.suspects.folds, or augment.verification.verifier: baseline",
            fix="add train rows (see data.train_rows, data.train_rows_per_label), or remove these settings",
        )
    if most < wanted:
        say(f"  {most} folds, not {wanted}: no label has more train texts than that")
    return min(wanted, most)


def _write_fold(path: Path, probabilities: Floats) -> None:
    with parquet_file(path, _FOLD) as write:
        for row in probabilities.tolist():
            write({"probabilities": row})


def _read_fold(path: Path, shape: tuple[int, int]) -> Floats:
    """Return the probabilities of a finished fold. Raises `RunFolderError` if the file holds none of this shape."""
    rows = [row["probabilities"] for row in read_rows(path, _FOLD, what="A fold", fix=_FIX)]
    if (len(rows), {len(row) for row in rows}) != (shape[0], {shape[1]}):
        raise RunFolderError(
            "A fold cannot be read: it is of other rows or labels.", where=str(path), fix=_FIX
        )
    return np.array(rows, dtype=np.float64)
