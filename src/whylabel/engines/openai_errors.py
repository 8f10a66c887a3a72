"""Errors as OpenAI-compatible endpoints report them: by the HTTP status, or in the body of a success."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from http.client import responses
from typing import Any

# The status that the words of an error amount to; the first match counts.
_STATUS_OF_WORDS = (
    (402, "insufficient_(quota|balance|credit|fund)|payment_required"),
    (429, "rate_?limit|too_many_requests|resource_?exhausted|throttl"),
    (402, "quota|credit|balance|billing"),
    (401, "api_?key|unauthori[sz]ed|authentic|invalid_token"),
    (403, "permission|forbidden|access_denied"),
    (404, "not_?found|does_not_exist|unknown_model"),
    (400, "invalid_?(request|argument|param)|bad_?request|context_length|too_long"),
    (
        503,
        "overload|unavailable|server_?error|internal|timeout|timed_out|deadline|gateway|api_error|capacity",
    ),
)
_REFUSED = re.compile("content_?(filter|policy|management)|responsible_?ai|moderation|flagged")
_STATUS_FIELDS = ("code", "status", "status_code", "http_status")
_WORD_FIELDS = ("code", "type", "status")
_MESSAGE_FIELDS = ("message", "error", "msg", "detail", "status_msg")


class EndpointError(Exception):
    """An answer that is an error, or something else than a completion.

    `status` is the HTTP status that it amounts to, None if it is not known. `refused` says that it is about the row:
    a content filter. `retry_after` is the wait in seconds that the body asks for.
    """

    def __init__(
        self, what: str, status: int | None = None, *, refused: bool = False, retry_after: float = 0.0
    ) -> None:
        super().__init__(what)
        self.status = status
        self.refused = refused
        self.retry_after = retry_after


def http_error(status: int, body: Any, content: bytes) -> EndpointError:
    """Return the error for an answer whose HTTP status is one; `body` is its content as JSON, None if it is none."""
    fields = _fields(body) or {}
    # OpenAI's insufficient_quota: waiting does not help.
    unpaid = status == HTTPStatus.TOO_MANY_REQUESTS and _status_of(_words(fields)) == 402
    message = _message(fields) or one_line(content.decode("utf-8", "replace")) or responses.get(status, "")
    return _error(f"HTTP {status}: {message}", 402 if unpaid else status, fields)


def error_in_body(body: Any, http_status: int) -> EndpointError | None:
    """Return the error in the body of an answer whose HTTP status says that all is well; None if there is none."""
    fields = _fields(body)
    if fields is None:
        return None
    numbers = (str(fields.get(name)) for name in _STATUS_FIELDS)
    named = next((int(number) for number in numbers if re.fullmatch("[45][0-9][0-9]", number)), None)
    message = _message(fields)
    status = named or _status_of(_words(fields)) or _status_of(snake(message))
    meaning = "an error" if status is None else f"error {status}"
    return _error(f"{meaning} in an answer with HTTP {http_status}: {message}", status, fields)


def snake(text: str) -> str:
    """Return the text as one word in lower case: `maxTokens`, `MAX_TOKENS` and `max tokens` are all `max_tokens`."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def one_line(text: str) -> str:
    """Return the text in one line, as `encodable` does."""
    return encodable(" ".join(text.split()))


def encodable(text: str) -> str:
    """Return the text with `?` for lone surrogates: JSON can contain them, UTF-8 files cannot."""
    return text.encode("utf-8", "replace").decode()


def _fields(body: Any) -> Mapping[str, Any] | None:
    """Return the fields of the error that a body reports; None if it reports none."""
    if isinstance(body, list) and len(body) == 1:  # Gemini
        body = body[0]
    if not isinstance(body, dict):
        return None
    error = body.get("error") or body.get("base_resp")  # the second is MiniMax's
    if choices := body.get("choices"):
        first = choices[0] if isinstance(choices, list) and isinstance(choices[0], dict) else {}
        # An error that ended an answer (OpenRouter). What stands beside a clean end is no error.
        broken = first.get("error") if snake(str(first.get("finish_reason"))) != "stop" else None
        error = body.get("error") or broken
    if error:
        return {**body, "message": None, **(error if isinstance(error, dict) else {"message": str(error)})}
    # An error without a frame, as vLLM and FastAPI write it.
    in_place = "choices" not in body and any(isinstance(body.get(name), str) for name in _MESSAGE_FIELDS)
    return body if in_place else None


def _error(what: str, status: int | None, fields: Mapping[str, Any]) -> EndpointError:
    inner = snake(str(fields.get("innererror") or fields.get("metadata") or ""))  # Azure, OpenRouter
    refused = _REFUSED.search(f"{_words(fields)} {inner}") is not None
    return EndpointError(what, status, refused=refused, retry_after=_retry_delay(fields))


def _words(fields: Mapping[str, Any]) -> str:
    return snake(" ".join(str(fields.get(name) or "") for name in _WORD_FIELDS))


def _status_of(words: str) -> int | None:
    return next((status for status, pattern in _STATUS_OF_WORDS if re.search(pattern, words)), None)


def _message(fields: Mapping[str, Any]) -> str:
    """Return the message of an error; without one, all of its fields; empty if there are none."""
    found = next((fields[name] for name in _MESSAGE_FIELDS if fields.get(name)), fields)
    if isinstance(found, dict):
        found = found.get("message") or found
    return one_line(str(found)) if found else ""


def _retry_delay(fields: Mapping[str, Any]) -> float:
    """Return the wait in seconds that an error asks for: `retry_after`, or Gemini's `retryDelay`; 0 for none."""
    details = fields.get("details")
    details = details if isinstance(details, list) else []
    named = [detail.get("retryDelay") for detail in details if isinstance(detail, dict)]
    given = next((str(delay) for delay in (fields.get("retry_after"), *named) if delay), "")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s?", given)
    return float(match[1]) if match else 0.0
