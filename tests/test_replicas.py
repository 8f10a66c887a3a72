"""Two replicas behind nginx, as in deploy/nginx.conf: one is killed, and every request is answered."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from serving_servers import Server, start_fake

CONFIG = Path(__file__).parents[1] / "deploy" / "nginx.conf"

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def replicas() -> Iterator[list[Server]]:
    started = [start_fake(), start_fake()]
    yield started
    for one in started:
        one.stop()


@pytest.fixture
def proxy(replicas: list[Server], tmp_path: Path) -> Iterator[str]:
    """The address of an nginx with our file, its ports replaced."""
    port = free_port()
    text = CONFIG.read_text(encoding="utf-8").replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    for place, one in enumerate(replicas, start=1):
        text = text.replace(f"127.0.0.1:800{place}", f"127.0.0.1:{one.port}")
    kept = "".join(
        f"{name}_temp_path {tmp_path}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"daemon off; pid {tmp_path}/pid; events {{}} http {{ access_log off; {kept} {text} }}"
    (tmp_path / "nginx.conf").write_text(whole)
    command = ["nginx", "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-g", "error_log stderr;"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        url = f"http://localhost:{port}"
        while not _answers(f"{url}/healthz"):
            assert process.poll() is None, "nginx has ended"
            time.sleep(0.1)
        yield url
        process.send_signal(signal.SIGQUIT)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=30).status_code == 200
    except httpx2.TransportError:
        return False


def test_a_killed_replica_loses_no_request(replicas: list[Server], proxy: str) -> None:
    statuses: list[int] = []
    killed = threading.Event()
    client = httpx2.Client(timeout=60)

    def ask() -> None:
        after = 0
        while after < 10:
            after += killed.is_set()
            statuses.append(client.post(f"{proxy}/v1/classify", json={"input": "a text"}).status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(statuses) < 40:
        time.sleep(0.01)
    replicas[0].stop(signal.SIGKILL)
    killed.set()
    for thread in threads:
        thread.join()
    assert len(statuses) >= 80 and set(statuses) == {200}
    figures = replicas[1].client.get("/metrics").text
    answered = re.search(r'requests_total\{route="/v1/classify",status="200"\} (\d+)', figures)
    # Both had some of them.
    assert answered is not None and 40 <= int(answered[1]) < len(statuses)
