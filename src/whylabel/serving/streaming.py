"""Answers as server-sent events: reasonings as they are written, then each result.

    event: reasoning   {"index": 0, "draft": 1, "delta": "The word"}
    event: result      the answer to one text, as in `data` of an ordinary answer
    event: done        {"id", "model", "usage"}
    event: error       {"error"}: nothing follows

What is streamed is a draft: whether a reasoning is shown is decided when it is whole, and another one may take its
place (`draft` 2). What counts is in the result.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from whylabel.serving.errors import error_body
from whylabel.serving.process import Answered, Asked, EngineLostError, Written

PING_SECONDS = 15.0
"""After so long without an event a comment is sent, so that nothing on the way takes the connection for dead."""
_PING = b": still working\n\n"


class EventStream(StreamingResponse):
    """A streamed answer; `at_end` is called however it ends, even if it never began."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], at_end: Callable[[], None], seconds: float) -> None:
        super().__init__(content, headers={"x-accel-buffering": "no"})
        self._at_end, self._seconds = at_end, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a client that does not read is given up after the seconds that an answer may take."""
        try:
            async with asyncio.timeout(self._seconds):
                await super().__call__(scope, receive, send)
        finally:
            self._at_end()


def event(name: str, data: Any) -> bytes:
    """Return one event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


async def events(
    asked: Asked,
    deadline: float,
    result: Callable[[Answered], dict[str, Any]],
    done: Callable[[], dict[str, Any]],
) -> AsyncIterator[bytes]:
    """Yield the events of a request until all its texts are answered, or until the deadline (`time.monotonic`)."""
    happening = aiter(asked.events())
    following: asyncio.Future[Any] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(happening, None))
            async for ping in _pings(following, deadline):
                yield ping
            if not following.done():
                yield event("error", error_body(504, "It was not answered in time, and was taken back."))
                return
            happened = following.result()
            if isinstance(happened, Written):
                told = {"index": happened.index, "draft": happened.draft, "delta": happened.text}
                yield event("reasoning", told)
            elif isinstance(happened, Answered):
                yield event("result", result(happened))
            else:
                yield event("done", done())
                return
    except EngineLostError:
        yield event("error", error_body(503, "The engine was lost; ask again."))
    finally:
        # Whoever reads may go away, or the server end, while it waits.
        if following is not None:
            following.cancel()


async def _pings(following: asyncio.Future[Any], deadline: float) -> AsyncIterator[bytes]:
    """Yield a comment now and then until something happens, or until the deadline."""
    while (left := deadline - time.monotonic()) > 0:
        await asyncio.wait({following}, timeout=min(PING_SECONDS, left))
        if following.done():
            return
        if left > PING_SECONDS:
            yield _PING
