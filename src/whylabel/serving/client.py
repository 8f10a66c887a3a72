"""A client of the server, in types.

>>> with Client("http://127.0.0.1:8000") as client:
...     client.classify("I could not stop smiling.").label
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from whylabel.errors import ServerError
from whylabel.text.words import is_broken
from whylabel.types import Evidence, Mode, Status, Target

if TYPE_CHECKING:
    import httpx2

KEY_VARIABLE = "WHYLABEL_API_KEY"
_AGAIN = (429, 503)
_LONGEST_PAUSE = 60.0
_UNEXPECTED = (ValueError, KeyError, TypeError, AttributeError)
"""What it raises to read an answer of another form."""
_UNREADABLE = "the text is not readable as text (broken Unicode)"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What a server serves."""

    id: str
    labels: tuple[str, ...]
    modes: tuple[Mode, ...]
    """The default first."""
    question: str
    target: Target
    label_separator: str | None
    """What stands between labels where a text may have several; None: each text has one."""


@dataclass(frozen=True, slots=True)
class Classification:
    """The answer to one text; see `whylabel.types.Prediction` for the fields of the same names."""

    label: str | None
    """None if the text failed; `error` says why."""
    probabilities: Mapping[str, float]
    """The probability of every label, the most probable first; empty if the text failed."""
    mode: Mode | None
    status: Status
    reasoning: str | None = None
    reasoning_status: str | None = None
    disagrees: bool | None = None
    evidence: tuple[Evidence, ...] | None = None
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Draft:
    """New characters of a reasoning that is being written. When `draft` grows, another one has begun."""

    draft: int
    text: str


@dataclass(frozen=True, slots=True)
class Options:
    """How texts are answered; `mode` None is the model's default."""

    mode: Mode | None = None
    evidence: bool = False
    abstain_below: float = 0.0
    show_all: bool = False

    def body(self, texts: str | Sequence[str]) -> dict[str, Any]:
        """Return the body of a request for these texts."""
        include = ["reasoning", "probabilities", *(["evidence"] if self.evidence else [])]
        return {
            "input": texts,
            "mode": self.mode,
            "include": include,
            "abstain_below": self.abstain_below,
            "show_all": self.show_all,
        }


class Client:
    """Talks to one server. It may be used by several threads.

    `model` names one of several models that the server has; by default its first one answers. `api_key` is by default
    that of the variable `WHYLABEL_API_KEY`. Where the server is busy or loading, a request is
    sent again after the time that it names, up to `retries` times. All methods raise `ServerError`.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout: float = 150.0,
        retries: int = 8,
    ) -> None:
        import httpx2

        key = api_key or os.environ.get(KEY_VARIABLE)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._url, self._model, self._retries = url.rstrip("/"), model, retries
        try:
            self._http = httpx2.Client(base_url=self._url, headers=headers, timeout=timeout)
        except (httpx2.InvalidURL, ValueError) as error:
            raise ServerError(f"This is no address of a server: {error}.", where=url) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def model(self) -> ServedModel:
        """Return what the server serves."""
        query = "" if self._model is None else f"?{urlencode({'model': self._model})}"
        models, labels = self._json("GET", "/v1/models"), self._json("GET", f"/v1/labels{query}")
        try:
            model = next(one for one in models["data"] if self._model in (None, one["id"]))
            return ServedModel(
                id=model["id"],
                labels=tuple(labels["labels"]),
                modes=tuple(model["modes"]),
                question=model["question"],
                target=model["target"],
                label_separator=labels["label_separator"],
            )
        except (*_UNEXPECTED, StopIteration):
            raise self._foreign() from None

    def classify(self, text: str, options: Options | None = None) -> Classification:
        """Return the answer to one text."""
        return self._classifications(self._body(text, options or Options()))[0]

    def classify_all(
        self,
        texts: Iterable[str | None],
        options: Options | None = None,
        *,
        texts_per_request: int = 8,
        requests: int = 8,
    ) -> Iterator[Classification]:
        """Yield the answer to every text in order; up to so many requests are on their way at once.

        A text that the server refuses, or that is None or broken Unicode, has the status `failed`.
        """
        options, rest = options or Options(), iter(texts)
        waiting: deque[Future[list[Classification]]] = deque()
        with ThreadPoolExecutor(requests) as pool:
            try:
                while True:
                    while len(waiting) < requests and (batch := list(islice(rest, texts_per_request))):
                        waiting.append(pool.submit(self._batch, batch, options))
                    if not waiting:
                        return
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def stream(self, text: str, options: Options | None = None) -> Iterator[Draft | Classification]:
        """Yield the reasoning as it is written, then the answer. Whether the reasoning is shown, the answer says."""
        body = {**self._body(text, options or Options()), "stream": True}
        with closing(self._answer("POST", "/v1/classify", body, stream=True)) as answer:
            name = ""
            for line in self._lines(answer):
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    found = self._told(name, line.removeprefix("data: "))
                    if found is not None:
                        yield found
                    if name == "done":
                        return
        raise ServerError("The answer broke off.", where=self._url)

    def _lines(self, answer: httpx2.Response) -> Iterator[str]:
        import httpx2

        try:
            yield from answer.iter_lines()
        except httpx2.TimeoutException:
            raise ServerError("The server took too long to answer.", where=self._url) from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise ServerError(f"The answer broke off: {error}.", where=self._url) from None

    def _told(self, name: str, line: str) -> Draft | Classification | None:
        """Return what an event of this name tells."""
        try:
            data = json.loads(line)
            if name == "reasoning":
                return Draft(data["draft"], data["delta"])
            if name == "result":
                return _classification(data)
            error = data["error"]["message"] if name == "error" else None
        except _UNEXPECTED:
            raise self._foreign() from None
        if error is not None:
            raise ServerError(str(error), where=self._url)
        return None

    def _batch(self, texts: Sequence[str | None], options: Options) -> list[Classification]:
        good = [text for text in texts if text is not None and not is_broken(text)]
        found = iter(self._good(good, options))
        return [refused() if text is None or is_broken(text) else next(found) for text in texts]

    def _good(self, texts: Sequence[str], options: Options) -> list[Classification]:
        """Return the answers to texts; where the server refuses some or has no time for all, each is asked alone."""
        if not texts:
            return []
        try:
            return self._classifications(self._body(texts, options))
        except ServerError as error:
            if not concerns_texts(error):
                raise
            if len(texts) == 1:
                return [refused(error.what)]
            return [self._good([text], options)[0] for text in texts]

    def _body(self, texts: str | Sequence[str], options: Options) -> dict[str, Any]:
        return {**options.body(texts), "model": self._model}

    def _classifications(self, body: Mapping[str, Any]) -> list[Classification]:
        answer = self._json("POST", "/v1/classify", body)
        texts = body["input"]
        try:
            found = [_classification(row) for row in answer["data"]]
        except _UNEXPECTED:
            raise self._foreign() from None
        if len(found) != (1 if isinstance(texts, str) else len(texts)):
            raise self._foreign()
        return found

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            return self._answer(method, path, body).json()
        except ValueError:
            raise self._foreign() from None

    def _foreign(self) -> ServerError:
        return ServerError("This is no server of whylabel: it answers in another form.", where=self._url)

    def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, stream: bool = False
    ) -> httpx2.Response:
        """Return the answer to a request that succeeds, at once or when the server has time."""
        import httpx2

        for attempt in range(self._retries + 1):
            try:
                request = self._http.build_request(method, path, json=body)
                answer = self._http.send(request, stream=stream)
                if answer.is_success:
                    return answer
                answer.read()
            except httpx2.TimeoutException:
                raise ServerError("The server took too long to answer.", where=self._url) from None
            except httpx2.TransportError as error:
                if attempt == self._retries or isinstance(error, httpx2.UnsupportedProtocol):
                    raise ServerError(
                        f"There is no connection to the server: {error}.",
                        where=self._url,
                        fix="start it with `whylabel serve MODEL`, or correct the address",
                    ) from None
                time.sleep(min(0.2 * 2**attempt, 5.0))
                continue
            except httpx2.HTTPError as error:
                raise ServerError(f"The answer cannot be read: {error}.", where=self._url) from None
            if answer.status_code not in _AGAIN or attempt == self._retries:
                raise _refusal(answer, self._url)
            time.sleep(_pause(answer.headers.get("retry-after")))
        raise AssertionError("the last attempt returns or raises")


def _pause(retry_after: str | None) -> float:
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
    return min(seconds, _LONGEST_PAUSE)


def _refusal(answer: httpx2.Response, url: str) -> ServerError:
    try:
        error = answer.json()["error"]
        message, param = str(error["message"]), error.get("param")
    except _UNEXPECTED:
        message, param = f"The server answered {answer.status_code}.", None
    fix = f"set {KEY_VARIABLE}" if answer.status_code == 401 else None
    return ServerError(message, where=url, fix=fix, status=answer.status_code, param=param)


def _classification(row: Mapping[str, Any]) -> Classification:
    evidence = row["evidence"]
    return Classification(
        label=row["label"],
        probabilities=row["probabilities"] or {},
        mode=row["mode"],
        status=row["status"],
        reasoning=row["reasoning"],
        reasoning_status=row["reasoning_status"],
        disagrees=row["disagrees"],
        evidence=None if evidence is None else tuple(Evidence(**stretch) for stretch in evidence),
        error=row["error"],
        seconds=row["seconds"],
    )


def concerns_texts(error: ServerError) -> bool:
    """Return whether the server refuses the texts that it was sent, or had no time for them.

    With others, or fewer, the request would be right.
    """
    return error.status == 504 or (error.status in (413, 422) and error.param in ("input", None))


def refused(error: str = _UNREADABLE) -> Classification:
    """Return the answer to a text that cannot be sent, or that the server does not take."""
    return Classification(None, {}, None, "failed", error=error)
