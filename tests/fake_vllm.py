#!PYTHON
"""Stands in for the `vllm` program. FAKE_VLLM says how it behaves, FAKE_VLLM_NOTES is the file it writes to.

It starts a child of its own, as vLLM does: one that heeds no SIGTERM, and tidies up when its parent has ended.
"""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BEHAVIOUR = os.environ.get("FAKE_VLLM", "serves")
KEY = os.environ["VLLM_API_KEY"]
TIDY = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdin.read()
time.sleep(float(sys.argv[2]))
open(sys.argv[1], "w").close()
"""


def argument(name):
    return sys.argv[sys.argv.index(name) + 1]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send(200 if self.path == "/health" and BEHAVIOUR != "hangs" else 503, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {KEY}" or self.path != "/v1/completions":
            return self.send(401, {})
        if BEHAVIOUR == "dies later" and body["prompt"][-1] >= 3:
            print("RuntimeError: out of memory", flush=True)
            os._exit(9)
        if BEHAVIOUR == "answers slowly" and body["prompt"][-1] >= 1:
            time.sleep(60)
        choice = {
            "text": f" asked {body['prompt']}",
            "finish_reason": "stop",
            "stop_reason": body["stop_token_ids"][0],
        }
        if BEHAVIOUR == "loops" and body["repetition_detection"]["min_count"] == 3:
            choice |= {"finish_reason": "repetition", "stop_reason": "repetition_detected"}
        self.send(200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})

    def send(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments):
        pass


if BEHAVIOUR == "dies":
    print(f"loading with {KEY}\nValueError: no such architecture", flush=True)
    sys.exit(3)
if BEHAVIOUR == "is stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
note = Path(os.environ["FAKE_VLLM_NOTES"])
child = subprocess.Popen(
    [
        sys.executable,
        "-c",
        TIDY,
        str(note.with_name("tidied")),
        str(600 if BEHAVIOUR == "is stubborn" else 0.3),
    ],
    stdin=subprocess.PIPE,
)
notes = {"arguments": sys.argv[1:], "pids": [os.getpid(), child.pid], "environment": dict(os.environ)}
note.with_suffix(".new").write_text(json.dumps(notes))
note.with_suffix(".new").rename(note)
ThreadingHTTPServer((argument("--host"), int(argument("--port"))), Handler).serve_forever()
