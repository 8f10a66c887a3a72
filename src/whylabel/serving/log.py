"""What the server says of itself: one JSON object a line on stderr, never a text or a prediction."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO


class Log:
    """Writes events with their time in UTC. Floats are seconds."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream

    def write(self, event: str, **fields: object) -> None:
        """Write a line; fields that are None are left out."""
        shown = {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in fields.items()
            if value is not None
        }
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **shown}
        stream = self._stream or sys.stderr
        try:
            # In one piece: other threads write lines, too.
            stream.write(f"{json.dumps(line)}\n")
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more, or it is closed: serving goes on
            _discard(stream)

    def take_over(self, name: str) -> None:
        """Write what a library logs, from warnings on, in this form."""
        logger = logging.getLogger(name)
        logger.handlers = [_Handler(self)]
        logger.propagate = False
        logger.setLevel(logging.WARNING)


def _discard(stream: IO[str]) -> None:
    """Let everything that is written to a broken stream get lost, what it still holds included."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Handler(logging.Handler):
    """Writes the records of a logger; of an exception its kind and place, as its message may quote a text."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        kind, error, trace = record.exc_info or (None, None, None)
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
            kind, trace = type(error), error.__traceback__
        self._log.write(
            "warning" if record.levelno < logging.ERROR else "error",
            # Of several lines, the others show the values of variables.
            message=(str(record.msg) if record.exc_info else record.getMessage()).partition("\n")[0],
            error=None if kind is None else kind.__name__,
            trace=None if trace is None else [line.strip() for line in traceback.format_tb(trace)[-4:]],
        )
