"""From a request to its answer: limits, the engine, the deadline, a client that goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from whylabel.serving.engines import Engines
from whylabel.serving.errors import ClientGoneError, RefusedError
from whylabel.serving.messages import ModelInfo, Question
from whylabel.serving.process import Answered, EngineLostError
from whylabel.serving.schemas import ClassifyRequest, classified
from whylabel.serving.settings import ServeSettings
from whylabel.types import Mode

_Result = TypeVar("_Result")


class Answering:
    """Answers requests for predictions."""

    def __init__(self, engines: Engines, settings: ServeSettings) -> None:
        self._engines, self._settings = engines, settings

    async def classify(self, body: ClassifyRequest, request: Request) -> Response:
        """Return the answer to a request of `/v1/classify`."""
        texts = [body.input] if isinstance(body.input, str) else body.input
        info = self.check(texts, body.model)
        question = Question(
            self.mode(body.mode, info),
            evidence="evidence" in body.include,
            abstain_below=body.abstain_below,
            show_all=body.show_all,
        )
        if body.abstain_below and info.multi_label:
            raise RefusedError(
                422, "A model that decides each label separately cannot abstain.", "abstain_below"
            )
        found = await self.answers(texts, question, request)
        data = [
            classified(one.index, one.prediction, one.error, question.mode, info.labels, body)
            for one in found
        ]
        return JSONResponse(
            {
                "id": f"classify-{request.state.request_id}",
                "object": "list",
                "created": int(time.time()),
                "model": self._settings.name,
                "data": data,
                "usage": {
                    "texts": len(texts),
                    "completion_tokens": sum((one.prediction or {}).get("tokens", 0) for one in found),
                },
            }
        )

    def check(self, texts: Sequence[str], model: str | None) -> ModelInfo:
        """Return what is known of the model.

        Raises `RefusedError` if the texts, or the model's name, are not acceptable.
        """
        settings = self._settings
        if model is not None and model != settings.name:
            raise RefusedError(404, f"There is no such model here; it serves {settings.name!r}.", "model")
        if len(texts) > settings.max_texts:
            raise RefusedError(
                422, f"A request may have {settings.max_texts} texts, not {len(texts)}.", "input"
            )
        for place, text in enumerate(texts):
            if len(text) > settings.max_text_chars:
                raise RefusedError(
                    422,
                    f"Text {place} has {len(text)} characters; {settings.max_text_chars} are allowed.",
                    "input",
                )
            if not _is_unicode(text):
                raise RefusedError(422, f"Text {place} holds half a character (a lone surrogate).", "input")
        info = self._engines.info
        if info is None:
            raise self._engines.lost()
        return info

    def mode(self, mode: Mode | None, info: ModelInfo) -> Mode:
        """Return the mode in which to answer. Raises `RefusedError` if the model does not have it."""
        if mode is not None and mode not in info.modes:
            raise RefusedError(
                422, f"This model cannot answer in mode {mode!r}. It can: {', '.join(info.modes)}.", "mode"
            )
        return mode or info.mode

    async def answers(self, texts: Sequence[str], question: Question, request: Request) -> list[Answered]:
        """Return the engine's answers in order.

        Raises `UnavailableError` if it cannot take the texts or ends, and `RefusedError` if it takes too long. What a
        client that goes away has asked for is taken back.
        """
        request.state.log.update(texts=len(texts), mode=question.mode)
        asked = self._engines.ask(texts, question)
        try:
            async with asyncio.timeout(self._settings.timeout):
                found = await _unless_gone(asked.answers(), request)
        except EngineLostError:
            raise self._engines.lost() from None
        except TimeoutError:
            raise self.too_late() from None
        finally:
            asked.close()
        self._engines.answered(len(texts), time.monotonic() - asked.began)
        return found

    def too_late(self) -> RefusedError:
        """Return why a request was given up."""
        return RefusedError(
            504, f"It was not answered within {self._settings.timeout:g} s, and was taken back."
        )


async def _unless_gone(work: Coroutine[Any, Any, _Result], request: Request) -> _Result:
    """Return the result of some work; it is cancelled if the client goes away, with `ClientGoneError`."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        return working.result()
    finally:
        for task in (working, watching):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _gone(request: Request) -> None:
    """Wait until the client closes the connection. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
