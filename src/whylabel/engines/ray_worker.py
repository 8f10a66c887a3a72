"""What runs in every worker of a Ray cluster: the named engine with its own copy of the model."""

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
from whylabel.host.runtime import first_line
from whylabel.text.prompts import Prompt
from whylabel.version import __version__

# A worker answers at least so often, so that it can be asked to stop.
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a worker builds its engine from; it travels to the workers."""

    engine: str
    model: str
    """A model's name, hub id, or absolute path."""
    device: str
    options: Mapping[str, Any]
    cores: int
    """CPU cores to compute with."""
    fingerprint: str | None = None
    """The content hash that a model at a path must have; None: not looked at."""
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Started:
    """A worker that is ready: the engine that it runs, where, and its process."""

    engine: str
    host: str
    pid: int


class EngineWorker:
    """An actor: one call at a time, each of them short, while the engine works in a thread of its own.

    `begin` hands it prompts, `take` gives what has finished since: Ray returns each answer as soon as it is there.
    """

    def __init__(self, plan: WorkerPlan) -> None:
        # Nothing here may fail but the import of this module: an error of `start` arrives with its message whole.
        self._plan = plan
        self._engine: Engine | None = None
        self._items: SimpleQueue[Completion | Exception | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._error: Exception | None = None

    def start(self) -> Started:
        """Load the model and make the engine. Raises `WhylabelError` if that cannot be done on this node."""
        from whylabel.engines import make_engine
        from whylabel.models.load import ModelSource

        plan = self._plan
        # Before torch is imported: without this, each worker of a node would compute on all of its cores.
        os.environ["OMP_NUM_THREADS"] = str(plan.cores)
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
        """Start on these prompts, and `take`."""
        threading.Thread(target=self._work, args=(prompts, sampling), daemon=True).start()
        return self.take()

    def take(self) -> tuple[list[Completion], bool]:
        """Return what has finished since the last call, and whether that was all; waits a moment for the first.

        Raises the engine's error once everything that it had finished has been taken.
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
        """End the work, and free what the engine holds."""
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
    """Raise `EngineError` if a model that is a path is not here, or is another one."""
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
