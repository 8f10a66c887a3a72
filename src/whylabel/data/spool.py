"""Rows kept in a file that nobody sees, so that memory does not grow with the data."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from typing import Any

from whylabel.errors import DataError

_BLOCK_ROWS = 1024
_BYTES_IN_MEMORY = 8 << 20


class Spool:
    """Rows of JSON values, appended once and then read by number, a block of neighbours at a time.

    A few megabytes stay in memory. More go to a file in the temporary folder (`TMPDIR`) that has no name, so the
    operating system frees it however the process ends. JSON, unlike UTF-8, also holds half a surrogate pair.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_BYTES_IN_MEMORY)  # noqa: SIM115 - lives as we do
        self._ends = [0]
        self._open: list[Sequence[Any]] = []
        self._read: tuple[int, list[Any]] = (-1, [])

    def __len__(self) -> int:
        return (len(self._ends) - 1) * _BLOCK_ROWS + len(self._open)

    def append(self, row: Sequence[Any]) -> None:
        """Add a row. Raises `DataError` if the temporary folder takes no more."""
        self._open.append(row)
        if len(self._open) == _BLOCK_ROWS:
            self._close_block()

    def __getitem__(self, number: int) -> Any:
        """Return a row as a list."""
        block, place = divmod(number, _BLOCK_ROWS)
        if block == len(self._ends) - 1:
            return self._open[place]
        if block != self._read[0]:
            self._file.seek(self._ends[block])
            content = self._file.read(self._ends[block + 1] - self._ends[block])
            self._read = (block, json.loads(content))
        return self._read[1][place]

    def _close_block(self) -> None:
        content = json.dumps(self._open).encode("ascii")
        try:
            self._file.seek(self._ends[-1])
            self._file.write(content)
        except OSError as error:
            raise DataError(
                f"The rows cannot be kept in the temporary folder: {error.strerror}.",
                where=tempfile.gettempdir(),
                fix="free disk space, or name another folder in the environment variable TMPDIR",
            ) from None
        self._ends.append(self._ends[-1] + len(content))
        self._open = []
