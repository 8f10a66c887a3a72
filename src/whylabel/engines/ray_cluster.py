"""Connect to a Ray cluster, or start one on this machine; compute how many workers fit into it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

from whylabel.errors import EngineError
from whylabel.host.machine import installed_version, usable_cores
from whylabel.host.runtime import first_line
from whylabel.recipe import EngineConfig

# Prompts and completions are small; by default Ray would reserve a third of the memory.
_OBJECT_STORE_BYTES = 128 * 2**20
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Layout:
    """The number of workers, and the resources that each reserves."""

    workers: int
    cpus: int
    gpus: float
    room: int
    """How many such workers fit on the nodes."""


def connect(address: str | None) -> bool:
    """Connect this process to a cluster, starting one if `address` is None.

    Return whether to call `ray.shutdown` at the end: it stops a cluster that was started here and disconnects from
    any other. If this process was already connected, it stays connected. Raises `EngineError` if Ray is missing or
    the cluster does not answer.
    """
    if installed_version("ray") is None:
        raise EngineError("augment.engine.distributed: ray needs Ray.", fix="pip install 'whylabel[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Avoids a long warning by Ray about CUDA_VISIBLE_DEVICES in workers that reserve no GPU.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray also prints reports of its processes (dead workers, for example) to stdout, which is for data only.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    import ray

    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    with _keep_signal_handlers():
        if address is None:
            ray.init(
                address="local",
                num_cpus=usable_cores(),
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=False,
                **quiet,
            )
            return True
        try:
            _check_reachable(address)
            ray.init(address=address, **quiet)
            return True
        except Exception as error:  # ConnectionError, RuntimeError (another version), ValueError ...
            raise EngineError(
                f"There is no connection to the Ray cluster {address!r}: {first_line(error)}",
                where="augment.engine.address",
                fix="start one (ray start --head), check the address, check that the cluster has the same versions "
                "of Python and Ray and, if it needs a token, that RAY_AUTH_MODE=token is set here; or remove the "
                "address to use a cluster on this machine",
            ) from error


def layout(config: EngineConfig, device: str, nodes: Sequence[Mapping[str, float]]) -> Layout:
    """Return the number of workers and what each reserves, given each node's resources (`CPU`, `GPU`).

    Raises `EngineError` if no node has room for a worker.
    """
    gpus = config.gpus_per_worker
    if gpus is None:
        has_gpu = any(node.get("GPU", 0) for node in nodes)
        gpus = float(device.startswith("cuda") or (device == "auto" and has_gpu))
    usable = [node for node in nodes if node.get("CPU", 0) >= 1 and node.get("GPU", 0) >= gpus]
    cpus = config.cpus_per_worker
    if cpus is None:
        workers_per_node = ceil((config.workers or 1) / max(len(usable), 1))
        smallest = min((int(node["CPU"]) for node in usable), default=1)
        cpus = 1 if gpus else max(1, smallest // workers_per_node)
    room = sum(
        min(int(node["CPU"] // cpus), int(node["GPU"] // gpus) if gpus else int(node["CPU"]))
        for node in usable
    )
    if room == 0:
        described = ", ".join(f"{node.get('CPU', 0):g} and {node.get('GPU', 0):g}" for node in nodes)
        raise EngineError(
            f"No node has room for a worker of {cpus} CPUs and {gpus:g} GPUs; the nodes have {described}.",
            where="augment.engine",
            fix="lower augment.engine.cpus_per_worker or gpus_per_worker, or add nodes",
        )
    return Layout(config.workers or room, cpus, gpus, room)


def nodes() -> list[dict[str, float]]:
    """Return the resources of each node that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _check_reachable(address: str) -> None:
    """Raise `OSError` if nothing listens at the address: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()


@contextmanager
def _keep_signal_handlers() -> Iterator[None]:
    """Restore our SIGTERM handler: Ray's handler ends the process without a message and with another exit code."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
