"""A file beside the output that keeps each prediction at once, so that the work of a killed process can continue.

The first line holds the settings of the predictions. Each other line holds the prediction of one row, in any order;
the last line of a row counts.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

from whylabel.errors import UsageError
from whylabel.host.locks import locked
from whylabel.types import Evidence, Prediction

_START = b'{"whylabel": "predictions in progress", '
_NOWHERE = -1
_FIELDS = tuple(field.name for field in fields(Prediction))
_VALUES = attrgetter(*_FIELDS)


def journal_path(output: Path) -> Path:
    """Return the path of an output's journal: labelled.csv.partial for labelled.csv."""
    return output.with_name(f"{output.name}.partial")


def lock_path(journal: Path) -> Path:
    """Return the empty file that is locked while a process works on a journal; it is removed with the lock."""
    return journal.with_name(f".{journal.name}.lock")


def is_journal(path: Path) -> bool:
    """Return whether a file is a journal, even if only its first bytes were written."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_START))
    except OSError:
        return False
    return _START.startswith(start)


class Journal:
    """The finished predictions of a number of rows; `open_journal` creates it.

    Failed rows count only in this process: the next one tries them again.
    """

    def __init__(self, file: IO[bytes], rows: int) -> None:
        self._file = file
        self._places = array("q", [_NOWHERE]) * rows
        self.finished = 0
        """How many rows have a prediction that did not fail."""
        self.changed: tuple[str, ...] = ()
        """Which settings differ from those of earlier predictions, which were therefore removed."""

    def __contains__(self, number: int) -> bool:
        """Return whether there is a prediction of the row, counted from 0."""
        return self._places[number] != _NOWHERE

    def __getitem__(self, number: int) -> Prediction:
        self._file.seek(self._places[number])
        return _parsed(self._file.readline())[1]

    def add(self, number: int, prediction: Prediction) -> None:
        """Keep a row's prediction. Once this returns, a killed process does not lose it."""
        place = self._file.seek(0, os.SEEK_END)
        values = dict(zip(_FIELDS, _VALUES(prediction), strict=True))
        if prediction.evidence is not None:
            values["evidence"] = [asdict(stretch) for stretch in prediction.evidence]
        self._file.write(json.dumps({"row": number, "prediction": values}).encode() + b"\n")
        self._file.flush()
        self._places[number] = place
        self.finished += prediction.status != "failed"

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Read the predictions that were kept for exactly these settings; remove those for other settings.

        The file is cut off at the first line that cannot be read, such as one that a killed process left incomplete.
        """
        before = _settings(self._file.readline())
        if before == settings:
            self._read_lines()
            return
        if before is not None:
            names = {**before, **settings}
            self.changed = tuple(name for name in names if before.get(name) != settings.get(name))
        self._file.seek(0)
        self._file.truncate()
        self._file.write(_START + b'"settings": ' + json.dumps(settings).encode() + b"}\n")
        self._file.flush()

    def _read_lines(self) -> None:
        while True:
            place = self._file.tell()
            try:
                number, prediction = _parsed(self._file.readline())
                known = number in self
            except (ValueError, KeyError, TypeError, IndexError):
                # The end of the file comes here, too; then there is nothing to cut off.
                self._file.truncate(place)
                return
            if prediction.status != "failed":
                self._places[number] = place
                self.finished += not known


@contextmanager
def open_journal(path: Path, rows: int, settings: Mapping[str, Any]) -> Iterator[Journal]:
    """Open the journal of an output with this many rows and these settings, for this process alone.

    `settings` are everything that decides a prediction, as JSON values. The file is removed at the end if no row is
    finished. Raises `UsageError` if another process uses the journal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_path(path)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, wait=False))
        except BlockingIOError:
            raise UsageError(
                "Another process is writing these predictions.",
                where=str(path),
                fix="wait for it to end, or name another file: --output FILE",
            ) from None
        stack.callback(lock.unlink, missing_ok=True)
        path.touch()
        file = stack.enter_context(path.open("r+b"))
        journal = Journal(file, rows)
        journal.begin(settings)
        try:
            yield journal
        finally:
            if not journal.finished:
                path.unlink(missing_ok=True)


def _settings(line: bytes) -> dict[str, Any] | None:
    """Return the settings in a journal's first line; None if the line is incomplete."""
    try:
        found = json.loads(line)["settings"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _parsed(line: bytes) -> tuple[int, Prediction]:
    """Return the row's number and its prediction. Raises `ValueError` or a similar error for any other line."""
    if not line.endswith(b"\n"):
        raise ValueError("incomplete line")
    record = json.loads(line)
    values = record["prediction"]
    number = record["row"]
    if type(number) is not int or number < 0:
        raise ValueError(number)
    evidence = values["evidence"]
    values["evidence"] = None if evidence is None else tuple(Evidence(**stretch) for stretch in evidence)
    return number, Prediction(**{**values, "probabilities": tuple(values["probabilities"])})
