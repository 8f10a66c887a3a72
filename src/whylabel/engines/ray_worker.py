"""The code of a Ray worker: it runs the named engine with its own copy of the model."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from whylabel.engines.base import Completion, Engine, Sampling
from whylabel.errors import EngineError, WhylabelError
from whylabel.host.runtime import first_line, own_process
from whylabel.text.prompts import Prompt
from whylabel.version import __version__

# Every call returns after this time at the latest, so that the worker can be stopped.
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """The settings of a worker's engine; Ray sends them to the worker."""

    engine: str
    model: str
    """A model's name, hub id, or absolute path."""
    device: str
    options: Mapping[str, Any]
    cores: int
    """Number of CPU cores to use."""
    fingerprint: str | None = None
    """The content hash that a model at a path must have; None: not checked."""
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Started:
    """A worker that is ready: its engine, its host and its process id."""

    engine: str
    host: str
    pid: int


class EngineWorker:
    """A Ray actor. The engine works in its own thread; every call to the actor is short.

    `begin` starts work on prompts, `take` returns the completions that have finished since the last call.
    """

    def __init__(self, plan: WorkerPlan) -> None:
        # Nothing here may fail: an error in `start` reaches the driver with its full message, one here does not.
        self._plan = plan
        self._engine: Engine | None = None
        self._items: SimpleQueue[Completion | Exception | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._error: Exception | None = None

    def start(self) -> Started:
        """Load the model and create the engine. Raises `WhylabelError` if this node cannot do so."""
        from whylabel.engines import make_engine
        from whylabel.models.load import ModelSource

        plan = self._plan
        # Must be set before torch is imported, or each worker would use all cores of the node.
        os.environ["OMP_NUM_THREADS"] = str(plan.cores)
        own_process()
        _check_version(plan)
        _check_model(plan)
        try:
            self._engine = make_engine(plan.engine, ModelSource(plan.model, plan.device), plan.options)
        except WhylabelError:
            raise
        except Exception as error:  # out of memory, most often
            raise _engine_error(error) from error
        return Started(self._engine.name, _node_address(), os.getpid())

    def begin(self, prompts: Sequence[Prompt], sampling: Sampling) -> tuple[list[Completion], bool]:
        """Start work on these prompts, and return the first result of `take`."""
        threading.Thread(target=self._work, args=(prompts, sampling), daemon=True).start()
        return self.take()

    def take(self) -> tuple[list[Completion], bool]:
        """Return the completions since the last call, and whether all are done. Waits a moment for the first one.

        Raises the engine's error after all finished completions have been returned.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error if isinstance(error, WhylabelError) else _engine_error(error)
        completions: list[Completion] = []
        try:
            item = self._items.get(timeout=_POLL_SECONDS)
            while isinstance(item, Completion):
                completions.append(item)
                item = self._items.get_nowait()
        except Empty:
            return completions, False
        self._error = item
        return completions, item is None

    def close(self) -> None:
        """Stop the work and close the engine."""
        self._stopped.set()
        if self._engine is not None:
            self._engine.close()

    def _work(self, prompts: Sequence[Prompt], sampling: Sampling) -> None:
        assert self._engine is not None
        try:
            for completion in self._engine.generate(prompts, sampling):
                self._items.put(completion)
                if self._stopped.is_set():
                    break
        except Exception as error:
            self._items.put(error)
        else:
            self._items.put(None)


def _check_version(plan: WorkerPlan) -> None:
    if plan.version != __version__:
        raise EngineError(
            f"The node {_node_address()} has whylabel {__version__}, this process has {plan.version}.",
            fix="install the same version on every node",
        )


def _check_model(plan: WorkerPlan) -> None:
    """Raise `EngineError` if the model path does not exist on this node or contains another model."""
    from whylabel.models.fingerprint import model_fingerprint

    if plan.fingerprint is None:
        return
    fix = "put the run folder or the model on storage that every node sees under the same path"
    if not Path(plan.model).exists():
        raise EngineError(f"The node {_node_address()} has no {plan.model}.", where="augment.engine", fix=fix)
    if model_fingerprint(plan.model) != plan.fingerprint:
        raise EngineError(
            f"The node {_node_address()} has another model at {plan.model}.", where="augment.engine", fix=fix
        )


def _engine_error(error: Exception) -> EngineError:
    return EngineError(
        f"The engine broke off on the node {_node_address()}: {type(error).__name__}: {first_line(error)}"
    )


def _node_address() -> str:
    import ray

    return str(ray.util.get_node_ip_address())
