"""The runs that are served beside their models: what the page shows of them, and what people decide about them.

Only where rows stand is kept in memory, never their texts, so that a run with very many rows is no burden.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar, get_args

from whylabel.errors import RunFolderError, RunInUseError
from whylabel.evaluation.browsing import Wanted, find_predictions, model_modes, predictions_at
from whylabel.evaluation.predictions import PredictionRow
from whylabel.evaluation.readings import ShownReasonings
from whylabel.host.atomic import as_written, read_json
from whylabel.host.paths import expanded
from whylabel.prediction.card import ModelCard
from whylabel.reasonings.files import iterate_kept
from whylabel.reasonings.review import ReviewRow, rows_at
from whylabel.reasonings.store import Decision, open_store
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import reasoning_hash, row_hash
from whylabel.text.several_labels import Separator

State = Literal["kept", "dropped"]
STATES: tuple[State, ...] = get_args(State)
Signature = tuple[int, int] | None
"""Time and size of a file, which tell whether it is still the same; None if there is none."""

_WAIT_SECONDS = 3.0
"""How long a decision waits for another process that uses the run folder: another server, or an import."""


@dataclass(frozen=True, slots=True)
class Place:
    """The number of a row in its file, from 0, and the hash of its reasoning."""

    number: int
    reasoning_hash: str


_Result = TypeVar("_Result")
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class ServedRun:
    """A run under the name of its model, with the labels of that model.

    `separator` stands between the labels where a text may have several.
    """

    name: str
    folder: RunFolder
    labels: tuple[str, ...]
    separator: Separator | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, name: str, folder: RunFolder, card: ModelCard) -> ServedRun:
        """Return the run of a model."""
        separator = None if card.multi_label is None else card.multi_label.separator
        return cls(name, folder, card.labels.names, separator)

    @property
    def has_predictions(self) -> bool:
        """Whether it has been evaluated."""
        return self.folder.predictions.exists() and self.folder.evaluation_metrics.exists()

    @property
    def has_reasonings(self) -> bool:
        """Whether it has reasonings for training."""
        folder = self.folder
        return folder.kept.exists() and folder.dropped.exists() and folder.augment_metrics.exists()

    def write(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of work that holds the run folder; it waits for others a little.

        Raises `RunInUseError` if another request or process keeps the folder.
        """
        deadline = time.monotonic() + _WAIT_SECONDS
        if not self.lock.acquire(timeout=_WAIT_SECONDS):
            raise RunInUseError("Others are writing into this run.", where=str(self.folder.path))
        try:
            while True:
                try:
                    return work()
                except RunInUseError:
                    if time.monotonic() > deadline:
                        raise
                time.sleep(0.05)
        finally:
            self.lock.release()


def run_of(model: str) -> RunFolder | None:
    """Return the run that a path names, or that the model folder at the path is in; None if there is none."""
    path = expanded(model).resolve()
    for folder in (path, path.parent.parent):
        if RunFolder(folder).manifest.exists():
            return RunFolder(folder)
    return None


# -- predictions ----------------------------------------------------------------------------------------------


def found_predictions(run: ServedRun, wanted: Wanted) -> tuple[int, ...]:
    """Return the numbers of the predictions that are wanted."""
    path = run.folder.predictions
    return _found(path, signature(path), wanted, run.separator)


def predictions(run: ServedRun, numbers: Sequence[int]) -> list[PredictionRow]:
    """Return some predictions."""
    return predictions_at(run.folder.predictions, numbers)


def modes_of(run: ServedRun) -> dict[str, list[str]]:
    """Return the modes of each model that has predictions."""
    path = run.folder.predictions
    return _modes(path, signature(path))


def labels_of(run: ServedRun) -> tuple[str, ...]:
    """Return the labels that the predictions were made with: the run may have been trained again with others."""
    path = run.folder.evaluation_metrics
    return _labels(path, signature(path)) or run.labels


def other_evaluation(run: ServedRun) -> RunFolderError:
    """Return the error where predictions do not have the labels that the evaluation names."""
    return RunFolderError(
        "The predictions are of another evaluation than the figures of this run.",
        where=str(run.folder.predictions),
        fix="wait until the evaluation has ended, or: whylabel evaluate RECIPE",
    )


# -- reasonings for training ----------------------------------------------------------------------------------


def dealt_reasonings(run: ServedRun, state: State, by: str) -> tuple[str, ...]:
    """Return the rows of a state in the order in which a person is dealt them."""
    path = run.folder.kept if state == "kept" else run.folder.dropped
    return _dealt_rows(path, signature(path), by)


def places(run: ServedRun, state: State) -> Mapping[str, Place]:
    """Return where the rows of a state are, by what stands for them in the store."""
    path = run.folder.kept if state == "kept" else run.folder.dropped
    return _row_places(path, signature(path))


def reasonings(run: ServedRun, state: State, rows: Sequence[str]) -> list[ReviewRow]:
    """Return some rows of a state, in their order."""
    found_at = places(run, state)
    at = sorted({found_at[row].number for row in rows})
    found = {row.row: row for row in rows_at(run.folder, state, at)}
    return [found[row] for row in rows]


def reasoning(run: ServedRun, row: str) -> ReviewRow | None:
    """Return a row by what stands for it in the store; None if the run has none such."""
    for state in STATES:
        if row in places(run, state):
            return reasonings(run, state, [row])[0]
    return None


def all_decisions(run: ServedRun) -> dict[str, list[Decision]]:
    """Return all decisions by row, the latest of each last; none if the store cannot be opened."""
    if not run.folder.store.exists():
        return {}
    try:
        with open_store(run.folder.store) as store:
            return store.all_decisions()
    except RunFolderError:
        # A run that may only be read can still be looked at.
        return {}


# -- reasonings of predictions --------------------------------------------------------------------------------


def shown_reasonings(run: ServedRun) -> ShownReasonings:
    """Return the reasonings that are shown beside test predictions. Raises `RunFolderError` if there are none."""
    path = run.folder.predictions
    return _shown(run.folder.path, signature(path), signature(run.folder.evaluation_metrics))


# -- what is remembered ---------------------------------------------------------------------------------------


def signature(path: Path) -> Signature:
    """Return what tells whether a file is still the same."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


@contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    """Raise `RunInUseError` if one of these files is replaced while the block reads them.

    What was read would be from the old file in part: a number or an id may stand for another row in the new one.
    """
    before = [signature(path) for path in paths]

    def check() -> None:
        if [signature(path) for path in paths] != before:
            raise RunInUseError("The run is being written; ask again.", where=str(paths[0].parent))

    try:
        yield
    except (LookupError, ValueError):
        check()
        raise
    check()


def in_order(rows: Sequence[str], by: str) -> list[str]:
    """Return rows as if shuffled, for each person otherwise: two who review at once seldom meet."""
    return sorted(rows, key=lambda row: hashlib.blake2b(f"{by}\n{row}".encode(), digest_size=8).digest())


def page(rows: Sequence[_Row], offset: int, limit: int) -> list[_Row]:
    """Return a part of some rows."""
    return list(rows[offset : offset + limit])


@lru_cache(maxsize=8)
def _found(path: Path, _version: Signature, wanted: Wanted, separator: Separator | None) -> tuple[int, ...]:
    return find_predictions(path, wanted, separator)


@lru_cache(maxsize=8)
def _modes(path: Path, _version: Signature) -> dict[str, list[str]]:
    return model_modes(path)


@lru_cache(maxsize=8)
def _labels(path: Path, _version: Signature) -> tuple[str, ...]:
    metrics = read_json(path, dict)
    with as_written(path):
        return tuple(map(str, metrics.get("labels") or ()))


@lru_cache(maxsize=8)
def _row_places(path: Path, _version: Signature) -> dict[str, Place]:
    found: dict[str, Place] = {}
    # Dropped rows have the columns of kept ones.
    for number, row in enumerate(iterate_kept(path)):
        # Rows with one text and one label are decided alike.
        found.setdefault(row_hash(row.example), Place(number, reasoning_hash(row.reasoning)))
    return found


@lru_cache(maxsize=16)
def _dealt_rows(path: Path, version: Signature, by: str) -> tuple[str, ...]:
    return tuple(in_order(list(_row_places(path, version)), by))


@lru_cache(maxsize=2)
def _shown(run: Path, _predictions: Signature, _metrics: Signature) -> ShownReasonings:
    return ShownReasonings.on_disk(RunFolder(run))
