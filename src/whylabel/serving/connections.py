"""Connections with deadlines: uvicorn itself waits for headers and bodies for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class DeadlineProtocol(H11Protocol):
    """Closes a connection whose request head or body takes too long to arrive, and any beyond the `most`."""

    header_seconds = 10.0
    body_seconds = 30.0
    most = 1000

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._receiving: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client its time for the first request head; turn it away where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(_answer("503 Service Unavailable", "retry-after: 1"))
            transport.close()
            return
        self._expect("head")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come, and say how long the rest may take."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Answer the next request on this connection."""
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._expect("body")
        elif state is h11.IDLE and self.conn.trailing_data[0]:
            self._expect("head")
        else:
            self._expect(None)

    def _expect(self, what: str | None) -> None:
        """Start the time for a head or a body; one that has begun goes on."""
        if what == self._receiving:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._receiving, self._deadline = what, None
        if what is not None:
            seconds = self.header_seconds if what == "head" else self.body_seconds
            self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE:
            self.transport.write(_answer("408 Request Timeout"))
        self.transport.close()


def protocol(header_seconds: float, body_seconds: float, most: int) -> type[DeadlineProtocol]:
    """Return the protocol class with these deadlines for at most so many connections, as uvicorn takes it."""
    limits = {"header_seconds": header_seconds, "body_seconds": body_seconds, "most": most}
    return type("Protocol", (DeadlineProtocol,), limits)


def _answer(status: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "connection: close", "content-length: 0", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
