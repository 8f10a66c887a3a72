"""Suspect labels: rows whose gold label a baseline that was not trained on them contradicts. No label is changed.

Out-of-fold probabilities come from one baseline per fold; confident learning (Northcutt et al. 2021, arXiv
1911.00068, through cleanlab) distinguishes likely label errors from hard texts.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whylabel.data.parquet import Kind, read_rows
from whylabel.data.writers import parquet_file
from whylabel.errors import DataError, ModelError, RunFolderError
from whylabel.host.progress import say
from whylabel.text.labels import LabelSet
from whylabel.types import Example

Floats = NDArray[np.float64]
FitPredict = Callable[[Sequence[Example], Sequence[Example], int], Floats]
"""From (rows to train on, rows held out, number of the fold) to probabilities, shape (held out, labels)."""

_SUSPECT: dict[str, Kind] = {
    "id": "text",
    "text": "text",
    "label": "text",
    "probability": "number",
    "suggested": "text",
    "suggested_probability": "number",
}
_FOLD: dict[str, Kind] = {"probabilities": "numbers"}
_FEWEST_FOLDS = 2


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row with a doubtful label: the baseline's probability of it, and the label that the baseline suggests."""

    id: str
    text: str
    label: str
    probability: float
    suggested: str
    suggested_probability: float


def out_of_fold(
    examples: Sequence[Example],
    labels: LabelSet,
    folds: int,
    seed: int,
    fit_predict: FitPredict,
    scratch: Path,
) -> Floats:
    """Return each row's probabilities from a model that was not trained on it, shape (rows, labels).

    There are at most as many folds as the most frequent label has rows. Finished folds are stored in `scratch`, so an
    interrupted call continues with the next one. Raises `DataError` if every label has only one row.
    """
    from sklearn.model_selection import StratifiedKFold

    gold = [labels.index(row.label) for row in examples]
    splitter = StratifiedKFold(n_splits=_folds(gold, folds), shuffle=True, random_state=seed)
    found = np.zeros((len(examples), len(labels)))
    with warnings.catch_warnings():
        # A label with fewer rows than folds is missing from some of them: no news here.
        warnings.simplefilter("ignore", UserWarning)
        parts = list(splitter.split(gold, gold))
    for number, (seen, held_out) in enumerate(parts):
        file = scratch / f"fold-{number}.parquet"
        if not file.exists():
            train, unseen = ([examples[int(at)] for at in rows] for rows in (seen, held_out))
            _write_fold(file, fit_predict(train, unseen, number))
        found[held_out] = _read_fold(file, (len(held_out), len(labels)))
    return found


def find_suspects(examples: Sequence[Example], probabilities: Floats, labels: LabelSet) -> list[Suspect]:
    """Return rows with a likely label error, most doubtful first. Raises `ModelError` if cleanlab is missing."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise ModelError(
            "Suspect labels need the package cleanlab.",
            fix="pip install 'whylabel[suspects]', or remove augment.suspects.folds",
        ) from error
    # Confident learning knows only labels that some row has.
    present = sorted({labels.index(row.label) for row in examples})
    gold = np.array([present.index(labels.index(row.label)) for row in examples])
    given = probabilities[:, present]
    given = given / given.sum(axis=1, keepdims=True)
    ranked = find_label_issues(gold, given, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [_suspect(examples[int(at)], probabilities[int(at)], labels) for at in ranked]


def write_suspects(path: Path, suspects: Sequence[Suspect]) -> None:
    """Write the list as Parquet, whole or not at all."""
    with parquet_file(path, _SUSPECT) as write:
        for row in suspects:
            write(asdict(row))


def read_suspects(path: Path) -> list[Suspect]:
    """Read the list back. Raises `RunFolderError` if the file is damaged."""
    rows = read_rows(
        path, _SUSPECT, what="The suspect labels", fix="remove the file, then: whylabel run RECIPE"
    )
    return [Suspect(**row) for row in rows]


def _folds(gold: Sequence[int], wanted: int) -> int:
    most = max(Counter(gold).values(), default=0)
    if most < _FEWEST_FOLDS:
        raise DataError(
            "Suspect labels cannot be looked for: no label has two train rows.",
            where="augment.suspects.folds",
            fix="add train rows (see data.train_rows, data.train_rows_per_label), or remove augment.suspects.folds",
        )
    if most < wanted:
        say(f"  {most} folds, not {wanted}: no label has more train rows than that")
    return min(wanted, most)


def _suspect(row: Example, probabilities: Floats, labels: LabelSet) -> Suspect:
    gold, best = labels.index(row.label), int(probabilities.argmax())
    return Suspect(
        row.id,
        row.text,
        row.label,
        float(probabilities[gold]),
        labels.names[best],
        float(probabilities[best]),
    )


def _write_fold(path: Path, probabilities: Floats) -> None:
    with parquet_file(path, _FOLD) as write:
        for row in probabilities.tolist():
            write({"probabilities": row})


def _read_fold(path: Path, shape: tuple[int, int]) -> Floats:
    """Return the probabilities of a finished fold. Raises `RunFolderError` if the file holds none of this shape."""
    what, fix = "A fold of the suspect labels", "remove the file, then: whylabel run RECIPE"
    rows = [row["probabilities"] for row in read_rows(path, _FOLD, what=what, fix=fix)]
    if (len(rows), {len(row) for row in rows}) != (shape[0], {shape[1]}):
        raise RunFolderError(
            f"{what} cannot be read: it is of other rows or labels.", where=str(path), fix=fix
        )
    return np.array(rows, dtype=np.float64)
