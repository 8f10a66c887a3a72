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
from whylabel.engines.base import Completion, Sampling
from whylabel.engines.openai_answers import read_answer
from whylabel.engines.openai_errors import EndpointError
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
_FATAL_STATUSES = (301, 302, 307, 308, 401, 402, 403, 404, 405, 410)
# These may pass, as every status from 500 on may.
_PASSING_STATUSES = (408, 409, 425, 429)
# If the endpoint is broken or rejects the request format, every row fails: stop instead of trying all rows.
_MAX_FAILURES_IN_A_ROW = 20
# If none of the first answers can be used, no later one will be: what was asked is paid for.
_MAX_UNUSABLE_AT_FIRST = 5
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
        self._failed_in_a_row = self._unusable_at_first = 0
        self._has_answered = False
        self._background: Background[Completion] | None = None

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as they finish."""
        self.close()
        self._failed_in_a_row = self._unusable_at_first = 0
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
        try:
            return self._completion(response, index, body, prompt, time.monotonic() - started)
        except EndpointError as error:
            return self._failed_row(error, response, index, prompt)

    def _failed_row(
        self, error: EndpointError, response: httpx2.Response, index: int, prompt: Prompt
    ) -> Completion:
        """Return the failed row. Raises if the request is to be sent again, or no row can succeed."""
        # Redact before shortening, or half of a key at the cut would remain.
        what = self._redacted(str(error))[:_SHOWN_CHARACTERS]
        status = error.status
        if error.refused:
            self._failed_in_a_row += not self._has_answered
        elif status is None:
            self._failed_in_a_row += 1
            self._unusable_at_first += not self._has_answered
        elif status in _PASSING_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            wait = max(error.retry_after, _retry_after(response.headers.get("retry-after", "")))
            milliseconds = _retry_after(response.headers.get("retry-after-ms", ""))  # OpenAI, Azure
            raise _RetryableError(what, retry_after=milliseconds / 1000 or wait)
        elif status in _FATAL_STATUSES and not self._is_about_the_row(response):
            raise self._endpoint_error(f"The endpoint {self._options.base_url} refuses: {what}", status)
        else:
            # After the first answer a rejection concerns one row only, for example a text that is too long.
            self._failed_in_a_row += not self._has_answered or status == HTTPStatus.FORBIDDEN
        return _failed(index, prompt, what)

    def _is_about_the_row(self, response: httpx2.Response) -> bool:
        """Return whether a firewall before the endpoint has refused one text: it answers with a page."""
        is_page = "json" not in response.headers.get("content-type", "json")
        return self._has_answered and response.status_code == HTTPStatus.FORBIDDEN and is_page

    def _check_failures(self, last: Completion) -> None:
        count = self._failed_in_a_row
        if count < _MAX_FAILURES_IN_A_ROW and self._unusable_at_first < _MAX_UNUSABLE_AT_FIRST:
            return
        raise self._endpoint_error(
            f"The endpoint {self._options.base_url} failed on {count} rows in a row: {last.error}",
            fix="correct what the message names, the URL (most end in /v1) or augment.engine_options",
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
        self, response: httpx2.Response, index: int, body: Mapping[str, Any], prompt: Prompt, seconds: float
    ) -> Completion:
        """Return the completion that the response holds. Raises `EndpointError` if it holds none."""
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        answer = read_answer(response.content, status=response.status_code, token_limit=limit)
        if answer.error is None:
            self._failed_in_a_row, self._has_answered = 0, True
        elif answer.refused:
            self._failed_in_a_row += not self._has_answered
        else:
            self._failed_in_a_row += 1
            self._unusable_at_first += not self._has_answered
        error = self._redacted(answer.error)[:_SHOWN_CHARACTERS] if answer.error else None
        prompt_tokens = answer.prompt_tokens or len(prompt.ids)
        return Completion(
            index,
            answer.text,
            prompt_tokens,
            answer.tokens,
            answer.finish,
            seconds=seconds,
            error=error,
            stop_id=answer.stop_id,
            cost=self._options.cost(prompt_tokens, answer.tokens),
        )

    # -- errors ------------------------------------------------------------------------------------------

    def _endpoint_error(
        self, what: str, status: int | None = None, fix: str = "start the endpoint or correct its URL"
    ) -> EngineError:
        options = self._options
        if status == HTTPStatus.UNAUTHORIZED:
            fix = f"export a valid key in the environment variable {options.api_key_variable}"
        elif status == HTTPStatus.PAYMENT_REQUIRED:
            fix = "add credit to the account of this key"
        elif status == HTTPStatus.FORBIDDEN:
            fix = f"check what the key may do, and the model name {options.model!r}"
        elif status is not None:
            fix = f"check the URL (most end in /v1), the model name {options.model!r} and api: {options.api}"
        return EngineError(
            what.rstrip(".") + ".", fix=f"{fix}; finished rows are kept, run the same command again"
        )

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
