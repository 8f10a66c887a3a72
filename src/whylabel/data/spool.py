"""Rows kept in a file without a name, so that memory does not grow with the data."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Sequence
from typing import Any

from whylabel.errors import DataError

_BYTES_IN_MEMORY = 8 << 20


class Spool:
    """Rows of JSON values, appended once and then read by number, in any order.

    A few megabytes stay in memory. More go to a file in the temporary folder (`TMPDIR`) that has no name, so the
    operating system frees it however the process ends. Where each row ends takes 8 bytes a row in memory.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_BYTES_IN_MEMORY)  # noqa: SIM115 - closed with the spool
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, row: Sequence[Any]) -> None:
        """Add a row. Raises `DataError` if the temporary folder takes no more."""
        # JSON in ASCII also holds half a surrogate pair; UTF-8, as Arrow and Parquet want it, does not.
        content = json.dumps(row).encode("ascii")
        try:
            self._file.seek(self._ends[-1])
            self._file.write(content)
        except OSError as error:
            raise _no_space(error) from None
        self._ends.append(self._ends[-1] + len(content))

    def __getitem__(self, number: int) -> Any:
        """Return a row as a list. Raises `DataError` if the temporary folder has no space for the last rows."""
        start, end = self._ends[number], self._ends[number + 1]
        try:
            self._file.seek(start)  # writes what was still buffered
            content = self._file.read(end - start)
        except OSError as error:
            raise _no_space(error) from None
        return json.loads(content)


def _no_space(error: OSError) -> DataError:
    return DataError(
        f"The rows cannot be kept in the temporary folder: {error.strerror}.",
        where=tempfile.gettempdir(),
        fix="free disk space, or name another folder in the environment variable TMPDIR",
    )
