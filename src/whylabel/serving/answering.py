"""From a request to its answer: limits, the engine, the deadline, a client that goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request

from whylabel.serving.engines import Engines
from whylabel.serving.errors import ClientGoneError, RefusedError
from whylabel.serving.messages import ModelInfo, Question
from whylabel.serving.metrics import Metrics
from whylabel.serving.process import Answered, Asked, EngineLostError
from whylabel.serving.settings import ServeSettings
from whylabel.types import Mode

_Result = TypeVar("_Result")


class Answering:
    """Answers requests for predictions, whatever their form."""

    def __init__(self, engines: Engines, settings: ServeSettings, metrics: Metrics) -> None:
        self._engines, self.settings, self._metrics = engines, settings, metrics

    def check(self, texts: Sequence[str], model: str | None, param: str = "input") -> ModelInfo:
        """Return what is known of the model.

        Raises `RefusedError` if the texts (in the field `param`), or the model's name, are not acceptable.
        """
        settings = self.settings
        if model is not None and model != settings.name:
            raise RefusedError(404, f"There is no such model here; it serves {settings.name!r}.", "model")
        # More texts than may wait at all would be told to come again for ever.
        most, limit = min((settings.max_texts, "--max-texts"), (settings.max_queue, "--max-queue"))
        if len(texts) > most:
            raise RefusedError(422, f"A request may have {most} texts ({limit}), not {len(texts)}.", param)
        for place, text in enumerate(texts):
            if len(text) > settings.max_text_chars:
                raise RefusedError(
                    422,
                    f"Text {place} has {len(text)} characters; {settings.max_text_chars} are allowed.",
                    param,
                )
            if not _is_unicode(text):
                raise RefusedError(422, f"Text {place} holds half a character (a lone surrogate).", param)
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

    def ask(self, texts: Sequence[str], question: Question, request: Request) -> Asked:
        """Hand texts to the engine; what is asked must be closed by `finish`. Raises `UnavailableError`."""
        request.state.log.update(texts=len(texts), mode=question.mode)
        return self._engines.ask(texts, question)

    async def answers(self, texts: Sequence[str], question: Question, request: Request) -> list[Answered]:
        """Return the engine's answers in order.

        Raises `UnavailableError` if it cannot take the texts or ends, `RefusedError` if it takes too long, and
        `ClientGoneError`. Whatever ends it early, what is not answered is taken back.
        """
        asked = self.ask(texts, question, request)
        try:
            async with asyncio.timeout(self.settings.timeout):
                found = await _unless_gone(asked.answers(), request)
        except EngineLostError:
            raise self._engines.lost() from None
        except TimeoutError:
            raise RefusedError(
                504, f"It was not answered within {self.settings.timeout:g} s, and was taken back."
            ) from None
        finally:
            self.finish(asked)
        for answered in found:
            self.count(answered, question.mode)
        return found

    def count(self, answered: Answered, mode: Mode) -> None:
        """Count an answer."""
        info = self._engines.info
        if info is not None:
            self._metrics.predicted(answered.prediction, mode, len(info.labels), info.multi_label)
        if answered.waited is not None:
            self._metrics.waited(answered.waited)

    def finish(self, asked: Asked) -> None:
        """Take back what is not answered of a request, and take note of how long it took."""
        seconds = time.monotonic() - asked.began
        if not asked.numbers:
            self._engines.answered(asked.texts, seconds)
        elif not asked.is_lost:
            self._metrics.cancelled("deadline" if seconds >= self.settings.timeout else "client_gone")
        if asked.first_words is not None:
            self._metrics.first_token(asked.first_words - asked.began)
        asked.close()


def usage(found: Iterable[Answered]) -> dict[str, int]:
    """Return what was computed for a request."""
    answers = list(found)
    prompt = sum(one.prompt_tokens for one in answers)
    written = sum((one.prediction or {}).get("tokens", 0) for one in answers)
    return {
        "texts": len(answers),
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
    }


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
