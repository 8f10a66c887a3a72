"""Predictions kept as they come in a file beside their output: a process that was killed is gone on with.

The first line says what the predictions are of; each line after it is a row's. They come in any order, and the latest
of a row counts.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

from whylabel.errors import UsageError
from whylabel.host.locks import locked
from whylabel.types import Prediction

_START = b'{"whylabel": "predictions in progress", '
_NOWHERE = -1
_FIELDS = tuple(field.name for field in fields(Prediction))
_VALUES = attrgetter(*_FIELDS)


def journal_path(output: Path) -> Path:
    """Return where the journal of an output lies: labelled.csv.partial beside labelled.csv."""
    return output.with_name(f"{output.name}.partial")


def is_journal(path: Path) -> bool:
    """Return whether a file is a journal, if only its first bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_START))
    except OSError:
        return False
    return _START.startswith(start)


class Journal:
    """The predictions of a number of rows, as far as there are any; made by `open_journal`.

    A row that failed is kept for this process alone: the next one tries it again.
    """

    def __init__(self, file: IO[bytes], rows: int) -> None:
        self._file = file
        self._places = array("q", [_NOWHERE]) * rows
        self.finished = 0
        """How many rows are kept for good."""
        self.changed: tuple[str, ...] = ()
        """Which settings differ from those of the predictions that were kept before, and are gone now."""

    def __contains__(self, number: int) -> bool:
        """Return whether there is a prediction of the row, counted from 0."""
        return self._places[number] != _NOWHERE

    def __getitem__(self, number: int) -> Prediction:
        self._file.seek(self._places[number])
        return _parsed(self._file.readline())[1]

    def add(self, number: int, prediction: Prediction) -> None:
        """Keep a row's prediction; once this returns, it outlives the process."""
        place = self._file.seek(0, os.SEEK_END)
        values = dict(zip(_FIELDS, _VALUES(prediction), strict=True))
        self._file.write(json.dumps({"row": number, "prediction": values}).encode() + b"\n")
        self._file.flush()
        self._places[number] = place
        self.finished += prediction.status != "failed"

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Take up what is kept for these very settings; predictions of others are thrown away.

        What cannot be read, such as a last line that a killed process has left torn, is cut off.
        """
        before = _settings(self._file.readline())
        if before == settings:
            self._take_up()
            return
        if before is not None:
            names = {**before, **settings}
            self.changed = tuple(name for name in names if before.get(name) != settings.get(name))
        self._file.seek(0)
        self._file.truncate()
        self._file.write(_START + b'"settings": ' + json.dumps(settings).encode() + b"}\n")
        self._file.flush()

    def _take_up(self) -> None:
        while True:
            place = self._file.tell()
            try:
                number, prediction = _parsed(self._file.readline())
                known = number in self
            except (ValueError, KeyError, TypeError, IndexError):
                # Also the end of the file, where there is nothing to cut off.
                self._file.truncate(place)
                return
            if prediction.status != "failed":
                self._places[number] = place
                self.finished += not known


@contextmanager
def open_journal(path: Path, rows: int, settings: Mapping[str, Any]) -> Iterator[Journal]:
    """Open the journal of an output of so many rows for this process alone, with what it holds for these settings.

    `settings` are all that decides a prediction, as JSON has it. The file stays, unless nothing is kept in it. Raises
    `UsageError` if another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, wait=False))
        except BlockingIOError:
            raise UsageError(
                "Another process writes these predictions.",
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
    """Return the settings in a journal's first line; None for a torn one."""
    try:
        found = json.loads(line)["settings"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _parsed(line: bytes) -> tuple[int, Prediction]:
    """Return the row's number and its prediction. Raises `ValueError` or the like for another line, or a torn one."""
    if not line.endswith(b"\n"):
        raise ValueError("torn")
    record = json.loads(line)
    values = record["prediction"]
    number = record["row"]
    if type(number) is not int or number < 0:
        raise ValueError(number)
    return number, Prediction(**{**values, "probabilities": tuple(values["probabilities"])})
