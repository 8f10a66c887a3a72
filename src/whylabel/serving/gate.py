"""What every request passes first: its id, its host, its key; and the line about it in the log."""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whylabel.serving.errors import error_response
from whylabel.serving.log import Log
from whylabel.serving.settings import ServeSettings, host_name

OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json", "/page")
"""What needs no key, beside `/`: it says nothing of the model. A path below one of these needs none either."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Gate:
    """An ASGI app around another one.

    A request id that a client sends (`X-Request-Id`) is kept if it is plain, else it gets one. `seen` is called with
    method, route, status and seconds of every request.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServeSettings,
        log: Log,
        seen: Callable[[str, str, int, float], None] = lambda *_: None,
    ) -> None:
        self._app, self._settings, self._log, self._seen = app, settings, log, seen
        self._keys = [key.encode() for key in settings.keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["log"] = {}
        status = 0
        replaced = False

        async def answer(message: Message) -> None:
            nonlocal status, replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = MutableHeaders(scope=message)
                if status == 413 and answered.get("content-type") != "application/json":
                    # The limit of the body lies outside the app's own handlers.
                    limit = self._settings.max_body_bytes
                    await error_response(413, f"A request may have {limit} bytes.")(scope, receive, answer)
                    replaced = True
                    return
                if status in (401, 413):
                    # The rest of the body is not waited for.
                    answered["connection"] = "close"
                answered["x-request-id"] = request_id
                answered["x-content-type-options"] = "nosniff"
                answered.setdefault("cache-control", "no-store")
            await send(message)

        try:
            refusal = self._refusal(scope["path"], headers)
            await (refusal or self._app)(scope, receive, answer)
        finally:
            seconds = time.monotonic() - started
            route = getattr(scope.get("route"), "path", None) or "none"
            self._seen(scope["method"], route, status, seconds)
            self._log.write(
                "request",
                request_id=request_id,
                method=scope["method"],
                # A path that is no route may be anything, so it is not repeated.
                route=route,
                status=status or None,
                seconds=seconds,
                **state["log"],
            )

    def _refusal(self, path: str, headers: Headers) -> ASGIApp | None:
        names = self._settings.host_names
        if names is not None and host_name(headers.get("host", "")) not in names:
            return error_response(400, "The server does not serve the host that is named in this request.")
        if self._keys and not _is_open(path) and not self._has_key(headers):
            return error_response(
                401,
                "This needs an API key: send the header 'Authorization: Bearer KEY'.",
                headers={"www-authenticate": "Bearer"},
            )
        return None

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        sent = given.strip().encode("latin-1", "replace")
        # All keys are compared, so that the time says nothing.
        same = [hmac.compare_digest(sent, key) for key in self._keys]
        return scheme.lower() == "bearer" and any(same)


def _is_open(path: str) -> bool:
    return path == "/" or any(path == open_path or path.startswith(f"{open_path}/") for open_path in OPEN)
