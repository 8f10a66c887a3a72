"""The engine that answers now: started, started again when it ends, exchanged for a new one without a gap."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine, Sequence
from itertools import count
from typing import Any, Literal

from whylabel.errors import EngineError
from whylabel.serving.log import Log
from whylabel.serving.messages import EngineSettings, ModelInfo, Question
from whylabel.serving.metrics import Metrics
from whylabel.serving.process import COMMAND, Asked, EngineLostError, EngineProcess

State = Literal["loading", "ready", "stopping"]

_LONGEST_PAUSE = 30.0
_WATCH_SECONDS = 1.0


class UnavailableError(Exception):
    """The server cannot take a request now: `status` is 429 or 503, `retry_after` in seconds."""

    def __init__(self, status: int, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.retry_after = max(1, math.ceil(retry_after))


class Engines:
    """Hands texts to the engine process, at most `max_queue` of them at a time.

    A process that says nothing for `stall_seconds` is killed.
    """

    def __init__(
        self,
        settings: EngineSettings,
        log: Log,
        *,
        metrics: Metrics,
        max_queue: int,
        stall_seconds: float = 120.0,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._settings, self._log, self._metrics, self._command = settings, log, metrics, command
        self._max_queue, self._stall_seconds = max_queue, stall_seconds
        metrics.watch_queue(lambda: self.unanswered)
        self._requests = count(1)
        self._processes: set[EngineProcess] = set()
        self._loading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seconds_per_text = 0.1
        self._load_seconds = 10.0
        self._stopping = False
        self.current: EngineProcess | None = None

    @property
    def state(self) -> State:
        """Whether an engine can be asked."""
        if self._stopping:
            return "stopping"
        return "loading" if self.current is None or self.current.ended.is_set() else "ready"

    @property
    def info(self) -> ModelInfo | None:
        """What is known of the model; None while the first one is loading."""
        return None if self.current is None else self.current.info

    @property
    def unanswered(self) -> int:
        """How many texts the engines have."""
        return sum(process.unanswered for process in self._processes)

    @property
    def silent_seconds(self) -> float:
        """How long ago the engine gave its last sign of life."""
        return math.inf if self.current is None else self.current.silent_seconds

    async def start(self) -> None:
        """Load the model. Raises `EngineError` if that fails."""
        await self._load()
        self._run(self._watch_for_stalls())

    def ask(self, texts: Sequence[str], question: Question) -> Asked:
        """Hand texts to the engine. Raises `UnavailableError` if there is none, or if too many texts are waiting."""
        if self._stopping:
            raise UnavailableError(503, "The server is stopping.", 5)
        if self.current is None or self.current.ended.is_set():
            raise self.lost()
        waiting = self.unanswered
        if waiting + len(texts) > self._max_queue:
            raise UnavailableError(
                429,
                f"{waiting} texts are waiting, and the server takes {self._max_queue} at a time.",
                min(60.0, waiting * self._seconds_per_text),
            )
        try:
            return self.current.ask(texts, question, next(self._requests))
        except EngineLostError:
            raise self.lost() from None

    def lost(self) -> UnavailableError:
        """Return why there is no engine."""
        if self._stopping:
            return UnavailableError(503, "The server is stopping.", 5)
        return UnavailableError(503, "The model is loading.", self._load_seconds)

    def answered(self, texts: int, seconds: float) -> None:
        """Take note of how long some texts took, from which it is known when to try again."""
        self._seconds_per_text += 0.05 * (seconds / max(texts, self.unanswered, 1) - self._seconds_per_text)

    async def reload(self) -> bool:
        """Load the model again, as it is now, then let the new engine answer; the old one finishes what it has.

        Returns False, and keeps the old engine, if the new one cannot be loaded. Reloads follow one another.
        """
        try:
            await self._load()
        except EngineError as error:
            self._log.write("reload_failed", error=error.what)
            return False
        return True

    async def stop(self, seconds: float) -> None:
        """Take no more texts, wait for those that were taken, and end all processes.

        Those that are left get `EngineLostError`.
        """
        self._stopping = True
        deadline = time.monotonic() + seconds
        while self.unanswered and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        for task in self._tasks:
            task.cancel()
        processes = list(self._processes)
        for process in processes:
            process.give_up()
        await asyncio.gather(*(process.stop(1.0) for process in processes))

    async def _load(self, lost: EngineProcess | None = None) -> None:
        """Start a process, and let it answer as soon as it is loaded; one that answered until then is to end.

        It is not started if it is to replace one that is `lost` and has been replaced meanwhile.
        """
        async with self._loading:
            if not self._stopping and (lost is None or lost is self.current):
                await self._load_alone()

    async def _load_alone(self) -> None:
        started = time.monotonic()
        process = EngineProcess(self._settings, self._command, self._metrics.steps)
        self._processes.add(process)
        try:
            info = await process.load()
        except BaseException:
            await process.stop(0)
            self._processes.discard(process)
            raise
        self._load_seconds = time.monotonic() - started
        self._log.write("engine_ready", pid=process.pid, engine=info.engine, seconds=self._load_seconds)
        old, self.current = self.current, process
        self._run(self._watch(process))
        if old is not None and not old.ended.is_set():
            self._run(self._retire(old))

    async def _watch(self, process: EngineProcess) -> None:
        """When a process ends by itself, load another, with ever longer pauses where that fails."""
        await process.ended.wait()
        self._processes.discard(process)
        if process is not self.current:
            return
        self._log.write("engine_lost", pid=process.pid, error=process.failure)
        self._metrics.engine_lost()
        pause = 0.5
        while not self._stopping:
            try:
                return await self._load(lost=process)
            except EngineError as error:
                self._log.write("engine_failed", error=error.what, pause=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _watch_for_stalls(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            # Also one that is to end: it holds the places of what it has not answered.
            for process in list(self._processes):
                is_stalled = process.silent_seconds > self._stall_seconds
                if is_stalled and process.info is not None and not process.ended.is_set():
                    self._log.write("engine_stalled", pid=process.pid, seconds=process.silent_seconds)
                    process.kill()

    async def _retire(self, old: EngineProcess) -> None:
        """End a process that another has replaced, when it has answered everything."""
        while old.unanswered and not old.ended.is_set():
            await asyncio.sleep(0.05)
        await old.stop()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
