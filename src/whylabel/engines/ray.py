"""Any engine, spread over the workers of a Ray cluster.

It uses plain actors, not Ray Data. When a worker dies, Ray Data runs its whole task again and expects the second
run to give the same blocks in the same order, but completions come in any order. It also retries without end if one
row kills every worker, and its blocks are made for throughput, not for storing each row as it finishes. Here the
driver knows which rows are finished and assigns only the others again. `begin` and `take` are plain calls instead
of one streaming generator because `ray://` does not support generators.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any

from whylabel.engines.base import Completion, Sampling
from whylabel.engines.ray_cluster import Layout, connect, layout, nodes
from whylabel.engines.ray_worker import EngineWorker, Started, WorkerPlan
from whylabel.errors import EngineError, WhylabelError
from whylabel.host.paths import expanded
from whylabel.host.progress import say
from whylabel.host.runtime import first_line, last_line
from whylabel.recipe import EngineConfig
from whylabel.text.hashes import fingerprint
from whylabel.text.prompts import Prompt

if TYPE_CHECKING:
    from whylabel.models.load import ModelSource

# The first death may be an accident. A single row whose second worker also dies is considered the cause.
_MAX_DEATHS_PER_TASK = 2
# When a node dies, all of its workers die, so the limit grows with the number of workers.
_MAX_DEATHS_IN_A_ROW_PER_WORKER = 10
# An upper bound: the server of the engine vllm may take ten seconds to end.
_GRACE_SECONDS = 12.0
_WAIT_SECONDS = 5.0


@dataclass(slots=True)
class _Task:
    """Rows of a call (their indices) that are not finished yet."""

    rows: list[int]
    deaths: int = 0
    """How many workers have died while they worked on it."""


@dataclass(slots=True, eq=False)
class _Worker:
    actor: Any
    pending: Any
    """The reference to the result of its last call; None if it is idle."""
    started: Started | None = None
    task: _Task | None = None
    indices: Sequence[int] = ()
    """The index in the call of each prompt that it was given."""


class RayEngine:
    """Runs the named engine in workers that each load the model once; yields rows as they finish.

    A worker that dies is replaced, and only its unfinished rows run again. Without `config.address` a cluster is
    started on this machine and stopped in `close`; a cluster at `config.address` is left unchanged. Raises
    `EngineError` if Ray is missing, if the cluster does not answer or has no free resources, or if worker after
    worker dies.
    """

    def __init__(
        self, name: str, model: ModelSource, options: Mapping[str, Any], config: EngineConfig
    ) -> None:
        self.name = f"{name} over ray"
        self._config = config
        self._workers: list[_Worker] = []
        self._hosts: set[str] = set()
        self._wait_reported = False
        self._deaths_in_a_row = 0
        self._connected = connect(config.address)
        try:
            self._layout = layout(config, model.device, nodes())
            self._plan = _worker_plan(
                name, model, options, self._layout, elsewhere=config.address is not None
            )
        except BaseException:
            self.close()
            raise

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as they finish. Closing the iterator early stops the workers."""
        waiting = deque(_Task(rows) for rows in self._split_rows(len(prompts)))
        self._deaths_in_a_row = 0
        completed = False
        try:
            self._start_workers(self._layout.workers - len(self._workers))
            while waiting or any(worker.task for worker in self._workers):
                self._assign_tasks(waiting, prompts, sampling)
                yield from self._handle_results(self._wait_for_results(), waiting, prompts)
            completed = True
        finally:
            if not completed:
                self._stop_workers()

    def close(self) -> None:
        """Stop the workers, and the cluster if it was started here."""
        self._stop_workers()
        if self._connected:
            self._connected = False
            import ray

            ray.shutdown()

    # -- workers -----------------------------------------------------------------------------------------

    def _start_workers(self, count: int) -> None:
        import ray

        if count and not self._workers:
            plan = self._layout
            rest = f" ({plan.room} have room now)" if plan.room < plan.workers else ""
            say(f"  ray: {plan.workers} workers of {plan.cpus} CPUs and {plan.gpus:g} GPUs{rest}")
        resources = {"num_cpus": self._layout.cpus, "num_gpus": self._layout.gpus}
        # No restarts by Ray: dead workers are replaced here, where their finished rows are known.
        actor_class = ray.remote(EngineWorker).options(
            max_restarts=0, scheduling_strategy="SPREAD", **resources
        )
        for _ in range(count):
            actor = actor_class.remote(self._plan)
            self._workers.append(_Worker(actor, actor.start.remote()))

    def _stop_workers(self) -> None:
        """Stop all workers, after a short time in which they can stop their own processes (a vLLM server)."""
        workers, self._workers = self._workers, []
        if not workers:
            return
        import ray

        if not ray.is_initialized():
            return
        ends = [worker.actor.close.remote() for worker in workers if worker.started]
        try:
            if ends:
                ray.wait(ends, num_returns=len(ends), timeout=_GRACE_SECONDS)
        finally:
            for worker in workers:
                _kill_worker(worker)

    def _wait_for_results(self) -> list[tuple[_Worker, Any]]:
        """Wait for results of calls, and return each worker with its result or error."""
        import ray

        pending = {worker.pending: worker for worker in self._workers if worker.pending is not None}
        try:
            ready, _ = ray.wait(list(pending), num_returns=1, timeout=_WAIT_SECONDS)
        except (ConnectionError, ray.exceptions.RaySystemError) as error:
            raise EngineError(
                f"The Ray cluster is gone: {first_line(error)}", where="augment.engine"
            ) from error
        if not ready:
            # Raises if the remaining nodes have no room for a worker: it would wait forever.
            layout(self._config, self._plan.device, nodes())
            if not self._hosts and not self._wait_reported:
                self._wait_reported = True
                say("  ray: no worker is ready yet: the model is loading, or the cluster has no room now")
            return []
        ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
        results = []
        for reference in ready:
            worker, worker.pending = pending[reference], None
            try:
                results.append((worker, ray.get(reference)))
            except ray.exceptions.RayError as error:
                results.append((worker, error))
        return results

    # -- rows --------------------------------------------------------------------------------------------

    def _split_rows(self, rows: int) -> list[list[int]]:
        size = max(1, min(self._config.rows_per_task, ceil(rows / self._layout.workers)))
        return [list(range(start, min(start + size, rows))) for start in range(0, rows, size)]

    def _assign_tasks(self, waiting: deque[_Task], prompts: Sequence[Prompt], sampling: Sampling) -> None:
        for worker in self._workers:
            if waiting and worker.started and worker.task is None:
                worker.task = waiting.popleft()
                worker.indices = tuple(worker.task.rows)
                # Engines derive a row's seed from its position in the call, which starts at 0 in every task.
                seed = int(fingerprint(sampling.seed, worker.indices[0])[:8], 16)
                rows = [prompts[index] for index in worker.indices]
                worker.pending = worker.actor.begin.remote(rows, replace(sampling, seed=seed))

    def _handle_results(
        self, results: Sequence[tuple[_Worker, Any]], waiting: deque[_Task], prompts: Sequence[Prompt]
    ) -> Iterator[Completion]:
        """Yield the finished completions, then raise the engine's error if there was one."""
        from ray.exceptions import RayTaskError

        failure: Exception | None = None
        for worker, result in results:
            if isinstance(result, RayTaskError):
                failure = result
            elif isinstance(result, Exception):
                for index in self._replace_dead_worker(worker, result, waiting):
                    error = f"its worker died: {last_line(result)}"
                    yield Completion(index, "", len(prompts[index].ids), 0, "error", error=error)
            elif isinstance(result, Started):
                self._mark_started(worker, result)
            else:
                yield from self._yield_completions(worker, *result)
        if failure is not None:
            raise _as_own_error(failure)

    def _mark_started(self, worker: _Worker, started: Started) -> None:
        worker.started = started
        if started.host not in self._hosts:
            self._hosts.add(started.host)
            say(f"  ray: engine {started.engine} runs on {started.host}")

    def _yield_completions(
        self, worker: _Worker, completions: list[Completion], ended: bool
    ) -> Iterator[Completion]:
        assert worker.task is not None
        task, indices = worker.task, worker.indices
        if ended:
            worker.task = None
        else:
            worker.pending = worker.actor.take.remote()
        for completion in completions:
            self._deaths_in_a_row = 0
            index = indices[completion.index]
            task.rows.remove(index)
            yield replace(completion, index=index)

    def _replace_dead_worker(self, worker: _Worker, error: Exception, waiting: deque[_Task]) -> list[int]:
        """Replace a dead worker, assign its rows again, and return the rows that are considered the cause.

        Raises `EngineError` if the worker could not start, or if workers keep dying without finishing a row.
        """
        self._workers.remove(worker)
        _kill_worker(worker)
        self._deaths_in_a_row += 1
        if getattr(error, "actor_init_failed", False):
            raise EngineError(
                f"A worker cannot be started: {last_line(error)}",
                where="augment.engine",
                fix="install the same whylabel, with its extras, in the Python of every node",
            )
        if self._deaths_in_a_row > _MAX_DEATHS_IN_A_ROW_PER_WORKER * self._layout.workers:
            raise EngineError(
                f"Ray's workers die without finishing a row, {self._deaths_in_a_row} by now; the last: "
                f"{first_line(error)}",
                where="augment.engine",
                fix="most often memory: use fewer workers, or smaller batches in augment.engine_options",
            )
        self._start_workers(1)
        return self._requeue_task(worker, waiting)

    def _requeue_task(self, worker: _Worker, waiting: deque[_Task]) -> list[int]:
        task = worker.task
        where = f" on {worker.started.host}" if worker.started else " before it was ready"
        again = f"; its {len(task.rows)} unfinished rows run again" if task and task.rows else ""
        say(f"  ray: a worker died{where}{again}")
        if task is None or not task.rows:
            return []
        task.deaths += 1
        if task.deaths < _MAX_DEATHS_PER_TASK:
            waiting.appendleft(task)
        elif len(task.rows) == 1:
            return task.rows
        else:
            waiting.extendleft(_Task([row], task.deaths) for row in reversed(task.rows))
        return []


def _worker_plan(
    name: str, model: ModelSource, options: Mapping[str, Any], room: Layout, *, elsewhere: bool
) -> WorkerPlan:
    """Return the settings of the workers' engines. On other machines a model path must contain the same model."""
    from whylabel.models.fingerprint import model_fingerprint
    from whylabel.models.packaged import PACKAGED_MODELS

    device = model.device
    if device == "auto" or (room.gpus and device.startswith("cuda")):
        # A worker sees only the GPU that it has reserved, as its first GPU.
        device = "cuda" if room.gpus else "cpu"
    path = expanded(model.name)
    if model.name in PACKAGED_MODELS or not path.exists():
        return WorkerPlan(name, model.name, device, dict(options), room.cpus)
    path = path.resolve()
    expected = model_fingerprint(str(path)) if elsewhere else None
    return WorkerPlan(name, str(path), device, dict(options), room.cpus, expected)


def _as_own_error(error: Exception) -> Exception:
    cause = getattr(error, "cause", None)
    if isinstance(cause, WhylabelError):
        return cause
    return EngineError(f"A worker of Ray broke off: {last_line(error)}")


def _kill_worker(worker: _Worker) -> None:
    import ray

    with contextlib.suppress(Exception):  # the worker may be dead, or the cluster stopped
        ray.kill(worker.actor)
