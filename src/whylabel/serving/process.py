"""The engine process as seen from the HTTP process: started, asked, watched, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from whylabel.errors import EngineError
from whylabel.serving import messages
from whylabel.serving.messages import EngineSettings, ModelInfo, Question

_LONGEST_LINE = 64 * 2**20
_STOP_SECONDS = 2.0

_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""torch's threads sleep while they wait for each other. By default they spin, which takes the cores from the threads
that write reasonings: on cores that others use, too, to score one text took 4.2 s in place of 0.2 s."""

COMMAND = (sys.executable, "-P", "-m", "whylabel.serving.engine")
"""`-P`: modules are never taken from the folder in which the server was started."""


class EngineLostError(Exception):
    """The engine has ended, or is to end, before it answered."""


@dataclass(frozen=True, slots=True)
class Written:
    """New characters of the reasoning about the text at `index`; `draft` counts its reasonings from 1."""

    index: int
    draft: int
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The prediction for the text at `index` as a dictionary, or why there is none."""

    index: int
    prediction: dict[str, Any] | None
    error: str | None = None
    waited: float | None = None
    """Seconds until something was first computed for it; None if nothing was."""
    prompt_tokens: int = 0
    """How many tokens the text has."""


@dataclass(eq=False)
class Asked:
    """The texts of one request, as they are answered. It must be closed: what is not answered is then taken back."""

    process: EngineProcess
    numbers: dict[int, int]
    """From a question's number to the index of its text; those that are not answered yet."""
    texts: int
    happened: asyncio.Queue[Written | Answered | None] = field(default_factory=asyncio.Queue)
    began: float = field(default_factory=time.monotonic)
    first_words: float | None = None
    """When the first words of a reasoning came."""
    is_lost: bool = False
    """Whether the engine ended, or is to end, before it answered."""

    async def events(self) -> AsyncIterator[Written | Answered]:
        """Yield what happens until every text is answered. Raises `EngineLostError`."""
        left = self.texts
        while left:
            event = await self.happened.get()
            if event is None:
                self.is_lost = True
                raise EngineLostError
            left -= isinstance(event, Answered)
            yield event

    async def answers(self) -> list[Answered]:
        """Return the answers in the order of the texts. Raises `EngineLostError`."""
        found = [event async for event in self.events() if isinstance(event, Answered)]
        return sorted(found, key=lambda answer: answer.index)

    def close(self) -> None:
        """Take back what is not answered, which frees its place as soon as the engine has dropped it."""
        self.process.take_back(self)


class EngineProcess:
    """One engine process. `info` is there when it is loaded; `on_steps` is told how long its steps take."""

    def __init__(
        self,
        settings: EngineSettings,
        command: Sequence[str] = COMMAND,
        on_steps: Callable[[Sequence[float]], None] = lambda _: None,
    ) -> None:
        self._settings, self._command, self._on_steps = settings, command, on_steps
        self._process: asyncio.subprocess.Process | None = None
        self._asked: dict[int, Asked] = {}
        """The requests of the questions whose answers are waited for."""
        self._held: set[int] = set()
        """The questions that it has: those, and the ones that were taken back, until it has dropped them."""
        self._loaded: asyncio.Future[ModelInfo] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None
        self._numbers = iter(range(1, sys.maxsize))
        self.info: ModelInfo | None = None
        self.failure: str | None = None
        """The kind of error that made its words unreadable, after which it was ended."""
        self.ended = asyncio.Event()
        self.last_sign = time.monotonic()

    @property
    def unanswered(self) -> int:
        """How many texts it has not answered. One that is taken back counts until it has dropped it."""
        return len(self._held)

    @property
    def silent_seconds(self) -> float:
        """How long ago it gave its last sign of life."""
        return time.monotonic() - self.last_sign

    @property
    def pid(self) -> int | None:
        """The number of the process."""
        return None if self._process is None else self._process.pid

    async def load(self) -> ModelInfo:
        """Start the process and wait until its model is loaded. Raises `EngineError` if that fails."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
                env={**_ENVIRONMENT, **os.environ},
                # Ctrl-C is for the HTTP process, which ends this one when requests are answered.
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"The engine process cannot be started: {error}.") from None
        self._send(messages.line(**asdict(self._settings)))
        self._reading = asyncio.create_task(self._read())
        self.info = await self._loaded
        return self.info

    def ask(self, texts: Sequence[str], question: Question, request: int) -> Asked:
        """Ask for the predictions of some texts. Raises `EngineLostError` if the process has ended."""
        if self.ended.is_set():
            raise EngineLostError
        asked = Asked(self, {next(self._numbers): index for index in range(len(texts))}, len(texts))
        for number, text in zip(asked.numbers, texts, strict=True):
            self._asked[number] = asked
            self._held.add(number)
            self._send(messages.ask(number, request, text, question))
        return asked

    def take_back(self, asked: Asked) -> None:
        """Cancel what the engine has not answered; each place is free when it has dropped the text."""
        for number in list(asked.numbers):
            if self._asked.pop(number, None) is not None:
                self._send(messages.cancel(number))

    def give_up(self) -> None:
        """Let all waiting requests know that they get no answer."""
        for asked in set(self._asked.values()):
            asked.happened.put_nowait(None)
        for number in list(self._asked):
            del self._asked[number]
            self._send(messages.cancel(number))

    async def stop(self, seconds: float = _STOP_SECONDS) -> None:
        """End the process: it ends by itself when its stdin does, and is killed if it takes too long."""
        if self._process is None:
            return
        with contextlib.suppress(OSError, RuntimeError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            self.kill()
        await self.ended.wait()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _send(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):
            self._process.stdin.write(line)

    async def _read(self) -> None:
        """Read what the engine says until it ends."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                self.last_sign = time.monotonic()
                self._hear(json.loads(line))
        except Exception as error:
            # Half a line, if it was killed while it wrote; or whatever else it should not say.
            self.failure = type(error).__name__
            self.kill()
        code = await self._process.wait()
        self.ended.set()
        if not self._loaded.done():
            why = f"exit code {code}" if self.failure is None else f"its words are unreadable: {self.failure}"
            self._loaded.set_exception(EngineError(f"The engine ended while it loaded ({why})."))
        self.give_up()
        self._held.clear()

    def _hear(self, message: dict[str, Any]) -> None:
        if "delta" in message:
            asked = self._asked.get(message["delta"])
            if asked is not None:
                index = asked.numbers[message["delta"]]
                asked.first_words = asked.first_words or time.monotonic()
                asked.happened.put_nowait(Written(index, message["draft"], message["text"]))
        elif "done" in message:
            self._held.discard(message["done"])
            asked = self._asked.pop(message["done"], None)
            if asked is not None:
                index = asked.numbers.pop(message["done"])
                del message["done"]
                asked.happened.put_nowait(Answered(index, **message))
        elif "cancelled" in message:
            self._held.discard(message["cancelled"])
        elif "alive" in message:
            self._on_steps(message["alive"]["step_seconds"])
        elif "loaded" in message:
            self._loaded.set_result(ModelInfo.from_json(message["loaded"]))
        elif "failed" in message:
            failed = message["failed"]
            self._loaded.set_exception(EngineError(failed["what"], where=failed["where"], fix=failed["fix"]))
