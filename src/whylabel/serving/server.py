"""The HTTP process: it starts the engine, answers requests, and stops without losing any."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn

from whylabel.errors import UsageError
from whylabel.host.progress import say
from whylabel.serving.app import Extend, create_app
from whylabel.serving.connections import protocol
from whylabel.serving.engines import Engines
from whylabel.serving.log import Log
from whylabel.serving.messages import EngineSettings
from whylabel.serving.metrics import Metrics
from whylabel.serving.process import COMMAND
from whylabel.serving.settings import ServeSettings

_CLOSING_SECONDS = 1.0
"""How long responses may take to be sent after the last text was answered."""


def serve(
    settings: ServeSettings,
    engine: EngineSettings,
    command: Sequence[str] = COMMAND,
    extend: Extend = lambda _: None,
    others: Mapping[str, EngineSettings] | None = None,
) -> None:
    """Serve a model until SIGTERM or Ctrl-C; SIGHUP loads it again, as it then is, without losing a request.

    `others` are further models by name, each with an engine process of its own; `extend` adds routes to those of the
    models. Raises `UsageError` if the address cannot be used, `EngineError` if a model cannot be loaded.
    """
    listener = _listen(settings.host, settings.port)
    with listener:
        models = {settings.name: engine, **(others or {})}
        asyncio.run(_serve(settings, models, command, listener, extend))


async def _serve(
    settings: ServeSettings,
    models: Mapping[str, EngineSettings],
    command: Sequence[str],
    listener: socket.socket,
    extend: Extend,
) -> None:
    log = Log()
    for library in ("uvicorn", "asyncio"):
        log.take_over(library)
    metrics = Metrics()
    engines = {
        name: Engines(
            engine,
            log,
            metrics=metrics,
            max_queue=settings.max_queue,
            stall_seconds=settings.stall_timeout,
            command=command,
        )
        for name, engine in models.items()
    }
    every = list(engines.values())
    app = create_app(engines, settings, log, metrics, extend)
    server = _Server(_config(app, settings), every, settings.shutdown_timeout)
    host, port = listener.getsockname()[:2]
    say(f"Loading {', '.join(engine.model for engine in models.values())} ...")
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loading = asyncio.create_task(_start(every))
    try:
        await asyncio.wait({serving, loading}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done() and not server.should_exit:
            loading.result()
            say(f"Serving {', '.join(models)} at http://{f'[{host}]' if ':' in host else host}:{port}")
            await serving
    finally:
        server.should_exit = True
        loading.cancel()
        await asyncio.gather(*(one.stop(0) for one in every))
        await asyncio.gather(serving, loading, return_exceptions=True)


async def _start(engines: Sequence[Engines]) -> None:
    """Load all models. Raises `EngineError` if one cannot be loaded."""
    await asyncio.gather(*(one.start() for one in engines))


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises `UsageError` if the address is not to be had."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sends at once (TCP_NODELAY) only where a socket says that it is TCP.
        listener = socket.socket(family, kind, number)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        raise UsageError(
            f"The server cannot listen there: {error.strerror or error}.",
            where=f"{host}:{port}",
            fix="choose another --port (0: any that is free) or --host",
        ) from None
    return listener


def _config(app: Any, settings: ServeSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol(settings),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=math.ceil(settings.keep_alive_timeout),
        timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout + _CLOSING_SECONDS),
    )


class _Server(uvicorn.Server):
    """A server whose signals end it with exit code 0 when accepted requests are answered."""

    def __init__(self, config: uvicorn.Config, engines: Sequence[Engines], shutdown_seconds: float) -> None:
        super().__init__(config)
        self._engines, self._shutdown_seconds = engines, shutdown_seconds
        self._tasks: set[asyncio.Task[Any]] = set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and Ctrl-C (a second one does not wait for requests), reload at SIGHUP."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        yield

    def _stop(self) -> None:
        if self.should_exit:
            self.force_exit = True
            return
        self.should_exit = True
        for engines in self._engines:
            self._run(engines.stop(self._shutdown_seconds))

    def _reload(self) -> None:
        for engines in self._engines:
            self._run(engines.reload())

    def _run(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
