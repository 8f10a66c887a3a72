"""Run a coroutine in its own thread and iterate over its items in ordinary code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

_Item = TypeVar("_Item")
_END = object()


class Background(Generic[_Item]):
    """Iterates over the items that a coroutine produces while it runs.

    `produce` receives a function and calls it with each item. An error in `produce` is raised after the items that
    were produced before it. The event loop has its own thread because the caller may run inside another event loop
    (in a notebook, for example).
    """

    def __init__(self, produce: Callable[[Callable[[_Item], None]], Coroutine[Any, Any, None]]) -> None:
        self._items: SimpleQueue[Any] = SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(produce(self._items.put))
        self._task.add_done_callback(lambda _task: self._items.put(_END))
        # A daemon thread does not keep the process alive if a second Ctrl-C interrupts `close`.
        self._thread = threading.Thread(target=self._run, name="whylabel-background", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[_Item]:
        while (item := self._items.get()) is not _END:
            yield item
        if not self._task.cancelled():
            self._task.result()

    def close(self) -> None:
        """Cancel the coroutine and wait until it has ended. It may be called twice."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(asyncio.wait([self._task]))
        if not self._task.cancelled():
            # Retrieve the exception, or asyncio warns when nobody iterates to the end.
            self._task.exception()
