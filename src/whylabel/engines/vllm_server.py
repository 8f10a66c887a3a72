"""vLLM's server in its own process group: started on a free loopback port, monitored, and always stopped."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from whylabel.errors import EngineError
from whylabel.host.paths import expanded
from whylabel.host.progress import duration, say

if TYPE_CHECKING:
    import torch

_HOST = "127.0.0.1"
_POLL_SECONDS = 0.5
_REPORT_SECONDS = 15.0
_GRACE_SECONDS = 10.0
_LOG_LINES = 15
_CPU_CACHE_GIB = "4"


class VllmServer:
    """A running `vllm serve`. It has its own process group, so Ctrl-C reaches only us and we stop the whole group.

    Its log is a temporary file, which is kept if the server fails. `key` is a random API key. `offline` prevents
    requests to the hub, for models that are local folders.
    """

    def __init__(self, command: Sequence[str], device: torch.device, *, offline: bool) -> None:
        self.key = secrets.token_urlsafe(32)
        self._port = _free_port()
        self.url = f"http://{_HOST}:{self._port}/v1"
        self._closed = self._failed = False
        log, name = tempfile.mkstemp(prefix="whylabel-vllm-", suffix=".log")
        self._log = Path(name)
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(
                [*command, "--host", _HOST, "--port", str(self._port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(self.key, device, offline=offline),
                start_new_session=True,
            )
        except OSError as error:
            self._log.unlink()
            raise EngineError(f"vLLM cannot be started: {error}.", where=command[0]) from None
        finally:
            os.close(log)
        atexit.register(self.close)

    def wait(self, limit_seconds: float) -> None:
        """Wait until the server answers. Raises `EngineError` if it ends or takes longer than the limit."""
        say("  vllm: the server is starting; this can take minutes")
        reported = time.monotonic()
        while not self._is_ready():
            self.raise_if_exited()
            now = time.monotonic()
            if now - self._started > limit_seconds:
                raise self._failure(
                    f"vLLM did not answer within {duration(limit_seconds)}",
                    fix="allow it more time: augment.engine_options.start_seconds",
                )
            if now - reported > _REPORT_SECONDS:
                say(f"  vllm: still starting, {duration(now - self._started)}")
                reported = now
            time.sleep(_POLL_SECONDS)
        say(f"  vllm: ready after {duration(time.monotonic() - self._started)}")

    def raise_if_exited(self) -> None:
        """Raise `EngineError` with the last lines of the log if the server has ended by itself."""
        code = self._process.poll()
        if code is not None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise self._failure(
                f"vLLM has ended by itself ({how})", fix="read the log; its first error is the cause"
            )

    def close(self) -> None:
        """Stop the whole process group: SIGTERM first, SIGKILL after a grace time. It may be called twice."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        try:
            _send_signal(self._process.pid, signal.SIGTERM)
            self._wait_for_group()
        finally:
            # Also reached after a second Ctrl-C.
            _send_signal(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if not self._failed:
            self._log.unlink(missing_ok=True)

    def _wait_for_group(self) -> None:
        # Wait for the whole group, not only the server: its last process frees hundreds of MB of shared memory.
        deadline = time.monotonic() + _GRACE_SECONDS
        while _has_live_process(self._process.pid):
            if time.monotonic() > deadline:
                say("  vllm: the server does not end, so it is killed")
                return
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        connection = HTTPConnection(_HOST, self._port, timeout=2.0)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def _failure(self, what: str, *, fix: str) -> EngineError:
        self._failed = True
        lines = self._log.read_text(encoding="utf-8", errors="replace").replace(self.key, "***").splitlines()
        shown = [f"    {line}" for line in lines if line.strip()][-_LOG_LINES:]
        tail = "\n".join([f"{what}. Its last lines:", *shown]) if shown else f"{what}; its log is empty."
        return EngineError(tail, where=str(self._log), fix=fix)


def find_command(command: str) -> str:
    """Return the path of vLLM's program. Raises `EngineError` if it does not exist."""
    found = shutil.which(str(expanded(command)) if os.sep in command else command)
    if found is None:
        raise EngineError(
            f"There is no program {command!r}.",
            where="augment.engine_options.command",
            fix="install vLLM (best in its own environment) and name its program: "
            "augment.engine_options.command=/path/to/bin/vllm",
        )
    return found


def _environment(key: str, device: torch.device, *, offline: bool) -> dict[str, str]:
    environment = {
        **os.environ,
        "VLLM_API_KEY": key,
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    if device.type == "cpu":
        environment.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE_GIB)
    elif device.index is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        named = device.index < len(visible) and visible[device.index]
        environment["CUDA_VISIBLE_DEVICES"] = named or str(device.index)
    return environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _has_live_process(group: int) -> bool:
    """Return whether the process group has a process that still runs. A zombie process has ended."""
    import psutil

    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(OSError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                return True
    return False


def _send_signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
