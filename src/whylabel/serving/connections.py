"""Connections with deadlines: uvicorn itself waits for headers, bodies and readers for ever."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from whylabel.serving.settings import ServeSettings

Awaited = Literal["head", "body", "request"]
"""What the client is to send: the rest of a head or a body, or any next request."""


class DeadlineProtocol(H11Protocol):
    """Closes a connection that takes too long to send a request or to read an answer, and any beyond the most."""

    settings: ClassVar[ServeSettings]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._seconds: dict[Awaited, float] = {
            "head": self.settings.header_timeout,
            "body": self.settings.body_timeout,
            "request": self.settings.keep_alive_timeout,
        }
        self._awaited: Awaited | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client its time for the first request head; turn it away where there are too many."""
        super().connection_made(transport)
        # Whatever the client has not taken counts, be it a few bytes: also a connection that is being closed waits
        # until they are gone.
        transport.set_write_buffer_limits(0)
        if len(self.connections) > self.settings.max_connections:
            transport.write(_answer("503 Service Unavailable", "retry-after: 1"))
            transport.close()
            return
        self._expect("head")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadlines."""
        self._expect(None)
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come, and say how long the rest may take."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Answer the next request on this connection."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """Give the client its time to read what could not be sent."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.settings.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken everything."""
        self._stop_waiting_for_reader()
        super().resume_writing()

    def _stop_waiting_for_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _look(self) -> None:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._expect("body")
        elif state is h11.IDLE:
            self._expect("head" if self.conn.trailing_data[0] else "request")
        else:
            self._expect(None)

    def _expect(self, awaited: Awaited | None) -> None:
        """Start the time for a head, a body or a request; one that has begun goes on."""
        if awaited == self._awaited:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._awaited, self._deadline = awaited, None
        if awaited is not None:
            self._deadline = self.loop.call_later(self._seconds[awaited], self._too_slow)

    def _too_slow(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE and self._awaited != "request":
            self.transport.write(_answer("408 Request Timeout"))
        self.transport.close()


def protocol(settings: ServeSettings) -> type[DeadlineProtocol]:
    """Return the protocol class with the deadlines of these settings, as uvicorn takes it."""
    return type("Protocol", (DeadlineProtocol,), {"settings": settings})


def _answer(status: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "connection: close", "content-length: 0", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
