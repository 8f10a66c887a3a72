"""What the server says of itself: one JSON object a line on stderr, never a text or a prediction."""

from __future__ import annotations

import json
import logging
import sys
import traceback
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
        # In one piece: other threads write lines, too.
        stream.write(f"{json.dumps(line)}\n")
        stream.flush()

    def take_over(self, name: str) -> None:
        """Write what a library logs, from warnings on, in this form."""
        logger = logging.getLogger(name)
        logger.handlers = [_Handler(self)]
        logger.propagate = False
        logger.setLevel(logging.WARNING)


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
            message=str(record.msg).splitlines()[0] if record.exc_info else record.getMessage(),
            error=None if kind is None else kind.__name__,
            trace=None if trace is None else [line.strip() for line in traceback.format_tb(trace)[-4:]],
        )
