"""What is said where a person or the system ends a verb: only the verb knows what is left of its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def if_interrupted(say: Callable[[], str]) -> Iterator[None]:
    """Let `main` print what `say` returns where the block is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(say()) from None


def interruption(error: BaseException) -> str:
    """Return what a verb has said of its interruption, in one line; click wraps it in an error of its own."""
    told = error.__cause__ if isinstance(error, click.Abort) else error
    return " ".join(["Interrupted.", *map(str, getattr(told, "args", ()))])
