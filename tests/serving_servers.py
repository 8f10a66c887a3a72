"""Servers in processes of their own."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2

FAKE_ENGINE = str(Path(__file__).parent / "fake_engine.py")

_FAKE = """
import json, sys
from whylabel.page.routes import page_of
from whylabel.page.runs import ServedRun
from whylabel.run_folder import RunFolder
from whylabel.serving.messages import EngineSettings
from whylabel.serving.server import serve
from whylabel.serving.settings import ServeSettings
given = json.loads(sys.argv[1])
run, labels = given.pop("run", None), tuple(given.pop("labels", ()))
others = {name: EngineSettings(name) for name in given.pop("others", ())}
settings = ServeSettings(**given)
runs = [ServedRun(settings.name, RunFolder(run), labels)] if run else []
serve(settings, EngineSettings("model"), (sys.executable, sys.argv[2]), page_of(settings, runs), others)
"""


class Server:
    """A server process; `log` has its lines of JSON, `said` all others."""

    def __init__(self, command, environment=None, wait=True):
        self.log, self.said = [], []
        self.url = None
        self._serves = threading.Event()
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if wait:
            self.wait()

    def wait(self, seconds=180):
        deadline = time.monotonic() + seconds
        while not self._serves.wait(0.1):
            assert self.process.poll() is None and time.monotonic() < deadline, self.said
        self.client = httpx2.Client(base_url=self.url, timeout=30)

    def _read(self):
        for line in self.process.stderr:
            if line.startswith("{"):
                self.log.append(json.loads(line))
            else:
                self.said.append(line.rstrip())
                if found := re.search(r"Serving .* at (http://\S+)", line):
                    self.url = found[1]
                    self._serves.set()

    def events(self, name):
        return [line for line in self.log if line["event"] == name]

    @property
    def port(self):
        return int(self.url.rpartition(":")[2])

    def engine_pid(self):
        return self.events("engine_ready")[-1]["pid"]

    def classify(self, input, **fields):
        return self.client.post("/v1/classify", json={"input": input, **fields})

    def stop(self, number=signal.SIGTERM, seconds=20):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code


def fake_command(**settings):
    """Return the command of a server around an engine without a model."""
    given = json.dumps({"name": "fake", "port": 0, **settings})
    return [sys.executable, "-c", _FAKE, given, FAKE_ENGINE]


def start_fake(environment=None, wait=True, **settings):
    return Server(fake_command(**settings), environment, wait)
