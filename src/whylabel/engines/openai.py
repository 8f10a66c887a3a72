"""The engine for OpenAI-compatible endpoints: vLLM, SGLang, llama.cpp's server, Ollama, hosted services."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from whylabel.engines.background import Background
from whylabel.engines.base import Completion, Finish, Sampling
from whylabel.engines.openai_options import OpenAIOptions
from whylabel.errors import EngineError
from whylabel.host.runtime import first_line
from whylabel.text.prompts import Prompt

if TYPE_CHECKING:
    import httpx2

_PATHS = {"completions": "completions", "chat": "chat/completions"}
_CONNECT_SECONDS = 10.0
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
# Wrong address, key or model, or payment required: no row can succeed.
_FATAL_STATUSES = (301, 302, 307, 308, 401, 402, 404, 405)
# If the endpoint is broken or rejects the request format, every row fails: stop instead of trying all rows.
_MAX_FAILURES_IN_A_ROW = 20
_SHOWN_CHARACTERS = 300


class _RetryableError(Exception):
    """A failed request that may succeed if it is sent again."""

    def __init__(self, what: str, *, retry_after: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(what)
        self.retry_after = retry_after
        self.unreachable = unreachable


class OpenAIEngine:
    """Sends one request per row, `concurrency` at a time, and yields completions as the answers arrive.

    A row that the endpoint rejects, or that fails after all retries, is a failed completion. If no row can succeed
    (no connection, a wrong key, an unknown model), `generate` raises `EngineError` after it has yielded the finished
    rows. `key` is sent as bearer token; by default it comes from the environment.
    """

    name = "openai"

    def __init__(self, options: OpenAIOptions, *, key: str | None = None) -> None:
        self._options = options
        self._key = key or options.key()
        self._failed_in_a_row = 0
        self._has_answered = False
        self._background: Background[Completion] | None = None

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as they finish."""
        self.close()
        self._failed_in_a_row = 0
        background = Background[Completion](lambda put: self._work(prompts, sampling, put))
        self._background = background
        try:
            yield from background
        finally:
            background.close()

    def close(self) -> None:
        """Cancel the requests in flight."""
        if self._background is not None:
            self._background.close()

    # -- requests ----------------------------------------------------------------------------------------

    async def _work(
        self, prompts: Sequence[Prompt], sampling: Sampling, put: Callable[[Completion], None]
    ) -> None:
        rows = iter(enumerate(prompts))
        count = min(self._options.concurrency, len(prompts))
        async with self._client() as client:

            async def worker() -> None:
                for index, prompt in rows:
                    completion = await self._complete(client, index, prompt, sampling)
                    put(completion)
                    self._check_failures(completion)

            workers = [asyncio.create_task(worker()) for _ in range(count)]
            try:
                await asyncio.gather(*workers)
            finally:
                for task in workers:
                    task.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    def _client(self) -> httpx2.AsyncClient:
        import httpx2

        options = self._options
        return httpx2.AsyncClient(
            base_url=options.base_url,
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx2.Timeout(None, connect=min(_CONNECT_SECONDS, options.timeout_seconds)),
            limits=httpx2.Limits(max_connections=options.concurrency),
            trust_env=not options.is_local,
        )

    async def _complete(
        self, client: httpx2.AsyncClient, index: int, prompt: Prompt, sampling: Sampling
    ) -> Completion:
        options, body = self._options, self._body(index, prompt, sampling)
        for attempt in range(options.max_retries + 1):
            try:
                return await self._request(client, index, body, prompt)
            except _RetryableError as error:
                failure = error
            wait = max(_wait_seconds(attempt), failure.retry_after)
            if attempt == options.max_retries or wait > options.timeout_seconds:
                break
            await asyncio.sleep(wait)
        if failure.unreachable:
            raise self._endpoint_error(f"There is no connection to {options.base_url}: {failure}")
        self._failed_in_a_row += 1
        return _failed(index, prompt, str(failure))

    async def _request(
        self, client: httpx2.AsyncClient, index: int, body: Mapping[str, Any], prompt: Prompt
    ) -> Completion:
        import httpx2

        started = time.monotonic()
        seconds = self._options.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                response = await client.post(_PATHS[self._options.api], json=body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _RetryableError(self._redacted(first_line(error)), unreachable=True) from None
        except TimeoutError:
            raise _RetryableError(f"no answer within {seconds:g} seconds") from None
        except httpx2.HTTPError as error:
            what = self._redacted(first_line(error))
            raise _RetryableError(f"the connection was lost ({what})") from None
        if not response.is_success:
            return self._handle_refusal(response, index, prompt)
        return self._completion(response, index, prompt, time.monotonic() - started)

    def _handle_refusal(self, response: httpx2.Response, index: int, prompt: Prompt) -> Completion:
        status = response.status_code
        what = f"HTTP {status}: {self._error_text(response)}"
        if status == HTTPStatus.TOO_MANY_REQUESTS or response.is_server_error:
            raise _RetryableError(what, retry_after=_retry_after(response.headers.get("retry-after", "")))
        if status in _FATAL_STATUSES:
            raise self._endpoint_error(f"The endpoint {self._options.base_url} refuses: {what}", status)
        return self._failed_row(index, prompt, what)

    def _failed_row(self, index: int, prompt: Prompt, what: str) -> Completion:
        # After the first answer a rejection concerns one row only, for example a text that is too long.
        self._failed_in_a_row += not self._has_answered
        return _failed(index, prompt, what)

    def _check_failures(self, last: Completion) -> None:
        if self._failed_in_a_row >= _MAX_FAILURES_IN_A_ROW:
            what = f"The endpoint {self._options.base_url} failed on {self._failed_in_a_row} rows in a row"
            raise self._endpoint_error(
                f"{what}: {last.error}", fix="correct what the message names, or augment.engine_options"
            )

    # -- request bodies and answers ----------------------------------------------------------------------

    def _body(self, index: int, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        options = self._options
        body: dict[str, Any] = {"model": options.model, "max_tokens": sampling.max_new_tokens}
        if options.api == "chat":
            body["messages"] = [{"role": "user", "content": prompt.text}]
        else:
            as_ids = prompt.ids and options.send_token_ids
            body["prompt"] = list(prompt.ids) if as_ids else prompt.rendered or prompt.text
        body["temperature"] = sampling.temperature
        if sampling.temperature > 0:
            # Each row has its own seed, so equal prompts are sampled independently.
            body |= {"top_p": sampling.top_p, "seed": sampling.seed + index}
        if options.send_stop_token_ids and sampling.stop_ids:
            body["stop_token_ids"] = list(sampling.stop_ids)
        body |= options.extra_body
        return {key: value for key, value in body.items() if value is not None}

    def _completion(
        self, response: httpx2.Response, index: int, prompt: Prompt, seconds: float
    ) -> Completion:
        try:
            answer = response.json()
            choice = answer["choices"][0]
            text = choice["message"]["content"] if self._options.api == "chat" else choice["text"]
            usage = answer.get("usage") or {}
            prompt_tokens = int(usage.get("prompt_tokens") or len(prompt.ids))
            tokens = int(usage.get("completion_tokens") or 0)
            reason, stop = choice.get("finish_reason"), choice.get("stop_reason")
        except (ValueError, LookupError, TypeError, AttributeError):
            what = f"the answer is not in the format of the OpenAI API: {self._error_text(response)}"
            return self._failed_row(index, prompt, what)
        self._failed_in_a_row, self._has_answered = 0, True
        finishes: dict[str, Finish] = {"stop": "stop", "length": "length"}
        finish = finishes.get(str(reason), "error")
        return Completion(
            index,
            _encodable(str(text or "").strip()),
            prompt_tokens,
            tokens,
            finish,
            seconds=seconds,
            error=f"the endpoint ended the answer with {reason!r}" if finish == "error" else None,
            stop_id=stop if isinstance(stop, int) else None,
            cost=self._options.cost(prompt_tokens, tokens),
        )

    # -- errors ------------------------------------------------------------------------------------------

    def _endpoint_error(
        self, what: str, status: int | None = None, fix: str = "start the endpoint or correct its URL"
    ) -> EngineError:
        options = self._options
        if status == HTTPStatus.UNAUTHORIZED:
            fix = f"export a valid key in the environment variable {options.api_key_variable}"
        elif status is not None:
            fix = f"check the URL (most end in /v1), the model name {options.model!r} and api: {options.api}"
        return EngineError(
            what.rstrip(".") + ".", fix=f"{fix}; finished rows are kept, run the same command again"
        )

    def _error_text(self, response: httpx2.Response) -> str:
        # Redact before shortening, or half of a key at the cut would remain.
        return self._redacted(_message(response))[:_SHOWN_CHARACTERS]

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _failed(index: int, prompt: Prompt, error: str) -> Completion:
    return Completion(index, "", len(prompt.ids), 0, "error", error=error)


def _wait_seconds(attempt: int) -> float:
    """Return a random wait in seconds that doubles with each attempt, so that not all rows retry at once."""
    longest: float = min(_FIRST_WAIT_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)
    return longest * random.uniform(0.5, 1.0)


def _retry_after(value: str) -> float:
    """Return the seconds in a Retry-After header, which contains seconds or a date; 0 if it contains neither."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            seconds = (date - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def _message(response: httpx2.Response) -> str:
    """Return the message of an error response: OpenAI's `error.message`, FastAPI's `detail`, or the text."""
    try:
        answer = response.json()
        message = answer.get("error") or answer.get("message") or answer.get("detail") or answer
        message = message.get("message") or message if isinstance(message, dict) else message
    except (ValueError, AttributeError):
        message = response.text.strip() or response.reason_phrase
    return _encodable(" ".join(str(message).split()))


def _encodable(text: str) -> str:
    """Return the text with `?` for lone surrogates: JSON can contain them, UTF-8 files cannot."""
    return text.encode("utf-8", "replace").decode()
