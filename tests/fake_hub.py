"""A real HTTP server in a thread that answers like the Hugging Face hub where models are uploaded."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_a_secret_of_the_tests"
"""The only token that may write, as user `me`."""


@dataclass
class Repository:
    """What a repository holds."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Hub:
    """The hub: its repositories by name, and what it saw."""

    url: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    tokens: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    echoes: bool = False
    """Whether errors contain what was sent, as those of careless proxies do."""


@contextmanager
def fake_hub() -> Iterator[Hub]:
    """Serve on a free port until the end of the block. Safetensors go to the storage for large files."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            self._see()
            name = self.path.removeprefix("/api/models/").partition("?")[0].removesuffix("/revision/main")
            self._info(name)

        def do_PUT(self) -> None:  # a large file; the address alone gives the right to write it
            hub.paths.append(self.path)
            content = self._body()
            assert hashlib.sha256(content).hexdigest() == self.path.removeprefix("/blobs/")
            hub.blobs[self.path.removeprefix("/blobs/")] = content
            self._send(200, {})

        def do_POST(self) -> None:
            token = self._see()
            body = self._body()
            if token != f"Bearer {TOKEN}":
                said = f"Invalid credentials {token}" if hub.echoes else "Invalid credentials"
                self._send(401, {"error": said})
            elif self.path == "/api/repos/create":
                self._create(json.loads(body))
            elif self.path == "/api/validate-yaml":
                self._send(200, {"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                files = [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(body)["files"]
                ]
                self._send(200, {"files": files})
            elif self.path.endswith(".git/info/lfs/objects/batch"):
                self._large(json.loads(body)["objects"])
            elif "/commit/" in self.path:
                self._commit(self.path.removeprefix("/api/models/").partition("/commit/")[0], body)
            else:
                self._send(404, {"error": "no such path"})

        def _see(self) -> str | None:
            token = self.headers["Authorization"]
            hub.tokens.append(token)
            hub.paths.append(self.path)
            return token

        def _body(self) -> bytes:
            if self.headers["Transfer-Encoding"] != "chunked":
                return self.rfile.read(int(self.headers["Content-Length"] or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _create(self, asked: dict[str, Any]) -> None:
            owner = asked.get("organization") or "me"
            name = f"{owner}/{asked['name']}"
            if owner != "me":
                self._send(403, {"error": "You don't have the rights to create a model under this namespace"})
                return
            status = 409 if name in hub.repositories else 200
            private = asked.get("private") or asked.get("visibility") == "private"
            hub.repositories.setdefault(name, Repository(bool(private)))
            self._send(status, {"url": f"{hub.url}/{name}"})

        def _info(self, name: str) -> None:
            found = hub.repositories.get(name)
            if found is None:
                self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
                return
            files = [{"rfilename": file} for file in found.files]
            said = {"id": name, "private": found.private, "siblings": files, "sha": "0" * 40, "tags": []}
            self._send(200, {**said, "downloads": 0, "likes": 0})

        def _large(self, objects: list[dict[str, Any]]) -> None:
            answers = [
                {**one, "actions": {"upload": {"href": f"{hub.url}/blobs/{one['oid']}"}}} for one in objects
            ]
            self._send(200, {"transfer": "basic", "objects": answers})

        def _commit(self, name: str, body: bytes) -> None:
            files = hub.repositories[name].files
            for line in filter(None, body.splitlines()):
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    files[value["path"]] = hub.blobs[value["oid"]]
                elif entry["key"] == "deletedFile":
                    del files[value["path"]]
            said = {"commitUrl": f"{hub.url}/{name}/commit/{'1' * 40}", "commitOid": "1" * 40}
            self._send(200, {"success": True, **said})

        def _send(self, status: int, said: dict[str, Any], headers: dict[str, str] | None = None) -> None:
            content = json.dumps(said).encode()
            if "error" in said:
                headers = {**(headers or {}), "X-Error-Message": said["error"]}
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
