"""The message after a person or the system interrupts a verb: only the verb knows how much of its work is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def if_interrupted(message: Callable[[], str]) -> Iterator[None]:
    """If the block is interrupted, let `main` print what `message` returns."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(message()) from None


def interruption(error: BaseException) -> str:
    """Return the message of an interrupted verb in one line; click wraps the interruption in its own error."""
    cause = error.__cause__ if isinstance(error, click.Abort) else error
    return " ".join(["Interrupted.", *map(str, getattr(cause, "args", ()))])
