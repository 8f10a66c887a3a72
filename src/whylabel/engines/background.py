"""Asynchronous work behind an ordinary iterator: an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

_Item = TypeVar("_Item")
_END = object()


class Background(Generic[_Item]):
    """Iterates over what a coroutine hands over while it runs.

    `produce` is given a function that takes an item. Its error is raised after everything that it handed over
    before. The loop has its own thread, as the caller may be inside another loop (a notebook is).
    """

    def __init__(self, produce: Callable[[Callable[[_Item], None]], Coroutine[Any, Any, None]]) -> None:
        self._items: SimpleQueue[Any] = SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(produce(self._items.put))
        self._task.add_done_callback(lambda _task: self._items.put(_END))
        # A daemon: where a second Ctrl-C breaks off `close`, the thread must not hold the process back.
        self._thread = threading.Thread(target=self._run, name="whylabel-background", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[_Item]:
        while (item := self._items.get()) is not _END:
            yield item
        if not self._task.cancelled():
            self._task.result()

    def close(self) -> None:
        """Cancel what is in flight and wait for its end. It may be called twice."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(asyncio.wait([self._task]))
        if not self._task.cancelled():
            # Looked at here, so that asyncio does not complain where nobody iterates to the end.
            self._task.exception()
