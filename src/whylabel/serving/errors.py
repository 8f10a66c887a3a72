"""Refusals as HTTP answers: one form for all of them, which never repeats what was sent."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from whylabel.serving.engines import UnavailableError
from whylabel.serving.schemas import Reply

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "unavailable_error",
    504: "timeout_error",
}
"""What `type` says of a refusal, by its HTTP status."""


class ErrorDetail(Reply):
    """What was wrong, in words and as a kind that programs can tell apart."""

    message: str
    """What is wrong, in words; it never repeats what was sent."""
    type: str
    """The kind of error."""
    code: int
    """The HTTP status."""
    param: str | None = None
    """The field that is to be corrected, if it is one."""


class ErrorBody(Reply):
    """The body of every answer that is not a success."""

    error: ErrorDetail


CLIENT_CLOSED = 499
"""The status in log and metrics of a request whose client went away; nobody receives it."""


class ClientGoneError(Exception):
    """The client has closed the connection."""


class RefusedError(Exception):
    """A request that is refused, with its HTTP status; `param` names the field that is to be corrected."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, message, param


def error_response(
    status: int, message: str, param: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return the answer to a request that was refused or failed."""
    return JSONResponse(error_body(status, message, param), status, headers)


def error_body(status: int, message: str, param: str | None = None) -> dict[str, Any]:
    """Return the body of such an answer."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "code": status, "param": param}}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the entries of a route's answers with these statuses in the OpenAPI document."""
    return {status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in statuses}


def add_handlers(app: FastAPI) -> None:
    """Let every refusal and failure of the app be answered in this form."""

    @app.exception_handler(UnavailableError)
    async def unavailable(_request: Request, error: UnavailableError) -> JSONResponse:
        return unavailable_response(error)

    @app.exception_handler(RefusedError)
    async def refused(_request: Request, error: RefusedError) -> JSONResponse:
        return error_response(error.status, error.message, error.param)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()[0]
        # The location begins with "body"; what was sent is not repeated: it may be private, or no JSON (NaN).
        where = ".".join(str(part) for part in found["loc"][1:] if not isinstance(part, str) or part) or None
        status = 400 if found["type"] == "json_invalid" else 422
        return error_response(status, str(found["msg"]), where)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # Starlette names those of the first route alone, where several share a path.
            headers["Allow"] = ", ".join(sorted(_allowed(app, request)))
        return error_response(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(ClientGoneError)
    async def gone(_request: Request, _error: ClientGoneError) -> Response:
        return Response(status_code=CLIENT_CLOSED)

    @app.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> JSONResponse:
        return error_response(500, "The server failed; its log says why.")


def _allowed(app: FastAPI, request: Request) -> set[str]:
    """Return the methods that the path of a request knows."""
    routes = [route for route in app.routes if route.matches(request.scope)[0] != Match.NONE]
    return {method for route in routes for method in getattr(route, "methods", None) or ()}


def unavailable_response(error: UnavailableError) -> JSONResponse:
    """Return the answer to a request that may be sent again later."""
    return error_response(error.status, error.message, headers={"retry-after": str(error.retry_after)})
