"""Suspect labels: rows whose gold label a baseline that was not trained on them contradicts. No label is changed.

Out-of-fold probabilities come from one baseline per fold (`folds.py`); confident learning (Northcutt et al. 2021,
arXiv 1911.00068, through cleanlab) distinguishes likely label errors from hard texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whylabel.data.parquet import Kind, read_rows
from whylabel.data.writers import parquet_file
from whylabel.errors import ModelError
from whylabel.text.labels import LabelSet
from whylabel.types import Example

Floats = NDArray[np.float64]

_SUSPECT: dict[str, Kind] = {
    "id": "text",
    "text": "text",
    "label": "text",
    "probability": "number",
    "suggested": "text",
    "suggested_probability": "number",
}


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row with a doubtful label: the baseline's probability of it, and the label that the baseline suggests."""

    id: str
    text: str
    label: str
    probability: float
    suggested: str
    suggested_probability: float


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
