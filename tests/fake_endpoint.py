"""A real HTTP server in a thread that answers like an OpenAI-compatible endpoint, and misbehaves on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = "The words tell it."


@dataclass
class Reply:
    """What is sent back: a status with headers and a body; after `delay` seconds; or nothing at all (`drop`)."""

    status: int = 200
    body: dict[str, Any] | str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False


@dataclass
class Endpoint:
    """What the server saw. `reply` maps the number of a request (from 0) and its body to what it answers."""

    url: str
    reply: Callable[[int, dict[str, Any]], Reply]
    stop: Callable[[], None]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0


def answer(body: dict[str, Any], text: str = ANSWER, finish: str = "stop", **more: Any) -> Reply:
    """A completion in the format of the path that was asked."""
    said = {"message": {"role": "assistant", "content": text}} if "messages" in body else {"text": text}
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return Reply(body={"choices": [{**said, "finish_reason": finish, **more}], "usage": usage})


def content(body: dict[str, Any]) -> Any:
    """What was asked."""
    return body["messages"][0]["content"] if "messages" in body else body["prompt"]


@contextmanager
def fake_endpoint(reply: Callable[[int, dict[str, Any]], Reply] | None = None) -> Iterator[Endpoint]:
    """Serve on a free port until the end of the block, or until `stop` is called."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if not sent:
                return  # the client has cancelled
            body = json.loads(sent)
            with lock:
                number = len(endpoint.bodies)
                endpoint.bodies.append(body)
                endpoint.paths.append(self.path)
                endpoint.keys.append(self.headers["Authorization"])
                endpoint.in_flight += 1
                endpoint.most_in_flight = max(endpoint.most_in_flight, endpoint.in_flight)
            reply = endpoint.reply(number, body)
            time.sleep(reply.delay)
            with lock:
                endpoint.in_flight -= 1
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            if reply.drop:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            said = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            try:
                self.send_response(reply.status)
                for name, value in {**reply.headers, "Content-Length": str(len(said.encode()))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.encode())
                self.wfile.flush()
            except OSError:
                pass  # the client has cancelled

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False

    def stop() -> None:
        server.shutdown()
        server.server_close()

    url = f"http://127.0.0.1:{server.server_port}/v1"
    endpoint = Endpoint(url, reply or (lambda _number, body: answer(body)), stop)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield endpoint
    finally:
        stop()
