"""Two replicas behind nginx, as in deploy/nginx.conf: what passes through it, and what it refuses itself."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serving_servers import Server, start_fake

CONFIG = Path(__file__).parents[1] / "deploy" / "nginx.conf"

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None and not os.environ.get("CI"), reason="nginx is not installed"
)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def behind_nginx(folder: Path, **settings: Any) -> Iterator[tuple[list[Server], httpx2.Client]]:
    """Two replicas, and a client of an nginx with our file, its ports replaced."""
    replicas = [start_fake(wait=False, **settings) for _ in range(2)]
    try:
        for one in replicas:
            one.wait()
        with nginx(replicas, folder) as url, httpx2.Client(base_url=url, timeout=60) as client:
            yield replicas, client
    finally:
        for one in replicas:
            one.stop()


@contextmanager
def nginx(replicas: list[Server], folder: Path) -> Iterator[str]:
    port = free_port()
    text = CONFIG.read_text(encoding="utf-8").replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    for place, one in enumerate(replicas, start=1):
        text = text.replace(f"127.0.0.1:800{place}", f"127.0.0.1:{one.port}")
    kept = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # Bodies stay in memory: nginx's workers may have another user, who cannot write here.
    kept += "client_body_buffer_size 3m;"
    whole = f"daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {kept} {text} }}"
    (folder / "nginx.conf").write_text(whole)
    command = ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-g", "error_log stderr;"]
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


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of two replicas that take two texts at a time."""
    with behind_nginx(tmp_path_factory.mktemp("nginx"), max_queue=2) as (_, asking):
        yield asking


def ask(client: httpx2.Client, text: str = "a text", **headers: str) -> httpx2.Response:
    return client.post("/v1/classify", json={"input": text}, headers=headers)


def test_the_id_of_a_request_reaches_the_server_and_comes_back(client: httpx2.Client) -> None:
    assert ask(client, **{"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = ask(client, **{"x-request-id": 'no "plain" one'}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)


def test_events_arrive_as_they_are_written(client: httpx2.Client) -> None:
    body = {"input": "stream 200", "mode": "reasoned", "stream": True}
    with client.stream("POST", "/v1/classify", json=body) as answer:
        assert next(answer.iter_lines()) == "event: reasoning"
        # Whoever leaves after the first event frees both places: the engine would write for 10 s.
    with client.stream("POST", "/v1/classify", json=body | {"input": "stream 3"}) as answer:
        assert list(answer.iter_lines())[-3] == "event: done"


def test_a_body_that_is_too_large_is_refused_in_the_form_of_the_server(client: httpx2.Client) -> None:
    """One that is just small enough reaches it."""
    limit = 2 * 2**20
    sizes = {size: ask(client, "a" * (size - len('{"input":""}'))) for size in (limit, limit + 1)}
    assert sizes[limit].status_code == 422
    refused = sizes[limit + 1]
    assert refused.status_code == refused.json()["error"]["code"] == 413
    assert refused.headers["content-type"] == "application/json" and refused.headers["x-request-id"]


def test_that_all_replicas_are_full_is_passed_on_and_forgotten(client: httpx2.Client) -> None:
    """They are not left out afterwards."""
    answers: list[httpx2.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(client, "sleep 1"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sorted(answer.status_code for answer in answers)
    assert found == [200] * 4 + [429] * 4
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
    assert ask(client).status_code == 200


def test_a_killed_replica_loses_no_request_and_without_any_the_client_is_told_to_come_again(
    tmp_path: Path,
) -> None:
    statuses: list[int] = []
    killed = threading.Event()
    with behind_nginx(tmp_path) as (replicas, client):

        def asking() -> None:
            after = 0
            while after < 10:
                after += killed.is_set()
                statuses.append(ask(client).status_code)

        threads = [threading.Thread(target=asking) for _ in range(4)]
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

        replicas[1].stop(signal.SIGKILL)
        refused = ask(client)
        assert refused.status_code == refused.json()["error"]["code"] == 503
        assert refused.headers["retry-after"]
