"""Whether the memory of a server stays flat: clients ask without end, and its two processes are weighed.

    python benchmarks/serve_memory.py runs/quickstart --minutes 60

Clients ask in all modes of the model, for one text or several, streamed or not, and leave one request in five before
it is answered. A line a minute: resident memory of both processes in MiB, and how many requests there were since the
start.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence

import httpx2
import psutil
from serve import emotions, server

_CLIENTS = 8
_SHARE_LEFT = 0.2
_HEAD = "| minute | HTTP, MiB | engine, MiB | answered | left | refused |\n|---:|---:|---:|---:|---:|---:|"


def main() -> None:
    """Ask for some minutes and print a line after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a run folder, or a model folder")
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--engine", default="auto", choices=["auto", "openvino", "transformers"])
    arguments = parser.parse_args()
    command = ["-m", "whylabel", "serve", arguments.model, "--port", "0", "--engine", arguments.engine]
    with server(command) as (url, pid):
        weigh(url, pid, arguments.minutes)


def weigh(url: str, pid: int, minutes: int, minute: float = 60.0) -> list[tuple[float, float]]:
    """Ask the server all the time, print a line a minute, and return the memory of both processes in MiB."""
    texts, done = emotions(64), Counter[str]()
    (model,) = httpx2.get(f"{url}/v1/models").json()["data"]
    stop = threading.Event()
    clients = [
        threading.Thread(target=ask_on, args=(url, texts, model["modes"], random.Random(number), done, stop))
        for number in range(_CLIENTS)
    ]
    for client in clients:
        client.start()
    print(_HEAD, flush=True)
    weights = []
    try:
        for number in range(minutes + 1):
            weights.append(memory(pid))
            http, engine = weights[-1]
            counts = " | ".join(str(done[outcome]) for outcome in ("answered", "left", "refused"))
            print(f"| {number} | {http:.1f} | {engine:.1f} | {counts} |", flush=True)
            if number < minutes:
                time.sleep(minute)
    finally:
        stop.set()
        for client in clients:
            client.join()
    return weights


def memory(pid: int) -> tuple[float, float]:
    """Return the resident memory of the HTTP process and of its engines, in MiB."""
    process = psutil.Process(pid)
    engines = sum(child.memory_info().rss for child in process.children())
    return process.memory_info().rss / 2**20, engines / 2**20


def ask_on(
    url: str,
    texts: Sequence[str],
    modes: Sequence[str],
    chance: random.Random,
    done: Counter[str],
    stop: threading.Event,
) -> None:
    """Ask one thing after another, chosen at random, until told to stop."""
    with httpx2.Client(base_url=url) as client:
        while not stop.is_set():
            body = {
                "input": chance.sample(texts, chance.choice([1, 1, 1, 4])),
                "mode": chance.choice(modes),
                "include": chance.choice([["reasoning", "probabilities"], ["evidence"], []]),
                "stream": chance.random() < 0.3,
            }
            leaves = chance.random() < _SHARE_LEFT
            try:
                answer = client.post("/v1/classify", json=body, timeout=chance.random() if leaves else 120)
                done["answered" if answer.is_success else "refused"] += 1
            except httpx2.TimeoutException:
                done["left"] += 1


if __name__ == "__main__":
    main()
