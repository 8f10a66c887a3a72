"""What a request costs around the model, and how requests of different kinds hold each other up.

    python benchmarks/serve.py runs/quickstart --output benchmarks/serve.json
    python benchmarks/serve.py --table benchmarks/serve.json

Three questions, with the requests of clients in a process of their own:

- `overhead`: how long a request takes whose engine computes nothing (`noop_engine.py`). Wanted: 3 ms at the median.
- `fast_beside_reasonings`: how long an answer at once takes while 32 reasonings are always being written, against
  nothing else. Wanted: at most twice at the 95th percentile.
- `throughput`: rows a second of 32 clients that ask again as soon as they are answered, against `predict` with the
  same engine over the same texts in one process. Wanted: 0.9.

Rounds of the parts that are compared are interleaved; the start of an engine, with an export, is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx2

from whylabel.data.load import load_dataset
from whylabel.host.atomic import write_json
from whylabel.host.machine import hardware, versions
from whylabel.host.progress import say
from whylabel.prediction.trained import TrainedClassifier
from whylabel.recipe import DataConfig, PredictionEngineConfig, TaskConfig

CLIENTS = 32
_NOOP = Path(__file__).parent / "noop_engine.py"
_NOOP_SERVER = """
import sys
from whylabel.serving.messages import EngineSettings
from whylabel.serving.server import serve
from whylabel.serving.settings import ServeSettings
serve(ServeSettings("noop", port=0), EngineSettings(""), (sys.executable, sys.argv[1]))
"""


def main() -> None:
    """Measure all parts, print the figures and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "model", nargs="?", help="a run folder, or a model folder, of a model that writes reasonings"
    )
    parser.add_argument("--rows", type=int, default=256, help="texts of each part")
    parser.add_argument("--seconds", type=float, default=40.0, help="how long answers at once are asked for")
    parser.add_argument("--rate", type=float, default=2.0, help="answers at once that are asked for a second")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engine", default="openvino", choices=["openvino", "transformers"])
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--table", type=Path, help="print the table of these figures and measure nothing")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return
    found = measured(arguments)
    print(json.dumps(found, indent=2))
    print(table(found))
    if arguments.output:
        write_json(arguments.output, found)


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the record of all parts."""
    load_before = [round(load, 2) for load in os.getloadavg()]
    texts = emotions(arguments.rows)
    found: dict[str, Any] = {
        "machine": {**hardware(), **versions(), "load_before": load_before},
        "work": {"rows": len(texts), "engine": arguments.engine, "clients": CLIENTS, "rate": arguments.rate},
        "overhead": overhead(),
    }
    say(f"overhead: {found['overhead']}")
    command = ["-m", "whylabel", "serve", arguments.model, "--port", "0", "--engine", arguments.engine]
    with server([*command, "--max-queue", "1024"]) as (url, _):
        ask(url, texts[:4], "fast")
        ask(url, texts[:4], "reasoned")
        found["fast_beside_reasonings"] = beside(url, texts, arguments)
        say(f"fast beside reasonings: {found['fast_beside_reasonings']}")
    found["throughput"] = throughput(arguments, texts)
    return found


def emotions(rows: int) -> list[str]:
    """Return distinct texts of the builtin emotions."""
    train = load_dataset(DataConfig(source="builtin:emotions"), TaskConfig(), seed=13).train
    return list(dict.fromkeys(example.text for example in train))[:rows]


@contextmanager
def server(command: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Start a server, yield its address and the number of its process, and stop it."""
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if served := re.search(r"Serving .* at (http://\S+)", line):
                break
        else:
            raise SystemExit("the server did not start")
        # Its log is read and thrown away.
        threading.Thread(target=deque, args=(process.stderr, 0), daemon=True).start()
        yield served[1], process.pid
    finally:
        process.terminate()
        process.wait()


def ask(url: str, texts: str | Sequence[str], mode: str, client: Any = httpx2) -> None:
    """Ask for answers and wait for them."""
    body = {"input": texts, "mode": mode}
    client.post(f"{url}/v1/classify", json=body, timeout=600).raise_for_status()


def overhead(requests: int = 500) -> dict[str, float]:
    """Return how long requests take, one after another, whose engine computes nothing."""
    seconds = []
    with server(["-c", _NOOP_SERVER, str(_NOOP)]) as (url, _), httpx2.Client() as client:
        for _ in range(requests):
            started = time.monotonic()
            ask(url, "It was a fine day.", "fast", client)
            seconds.append(time.monotonic() - started)
    return milliseconds(seconds[requests // 10 :])


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return median and 95th percentile in milliseconds."""
    return {
        "p50_ms": round(1000 * median(seconds), 2),
        "p95_ms": round(1000 * quantiles(seconds, n=20)[-1], 2),
        "requests": len(seconds),
    }


def beside(url: str, texts: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return how long answers at once take alone, and while reasonings are written all the time."""
    alone: list[float] = []
    loaded: list[float] = []
    for _ in range(arguments.rounds):
        seconds = arguments.seconds / arguments.rounds
        alone += paced(url, texts, seconds, arguments.rate)
        stop = threading.Event()

        def reason(number: int, stop: threading.Event = stop) -> None:
            with httpx2.Client() as client:
                while not stop.is_set():
                    ask(url, texts[number % len(texts)], "reasoned", client)
                    number += CLIENTS

        threads = [threading.Thread(target=reason, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(3)
        loaded += paced(url, texts, seconds, arguments.rate)
        stop.set()
        for thread in threads:
            thread.join()
    found = {"alone": milliseconds(alone), "beside": milliseconds(loaded)}
    return {**found, "p95_ratio": round(found["beside"]["p95_ms"] / found["alone"]["p95_ms"], 2)}


def paced(url: str, texts: Sequence[str], seconds: float, rate: float) -> list[float]:
    """Ask for answers at once at a fixed rate, whether earlier ones are there or not; return their seconds."""
    taken: list[float] = []

    def one(text: str) -> None:
        started = time.monotonic()
        ask(url, text, "fast", client)
        taken.append(time.monotonic() - started)

    started = time.monotonic()
    with httpx2.Client(limits=httpx2.Limits(max_connections=64)) as client, ThreadPoolExecutor(64) as pool:
        for number in range(int(seconds * rate)):
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
            pool.submit(one, texts[number % len(texts)])
    return taken


def throughput(arguments: argparse.Namespace, texts: Sequence[str]) -> dict[str, Any]:
    """Return the rows a second of `predict` and of a server, by mode, the best of each."""
    engine = PredictionEngineConfig(name=arguments.engine)
    command = ["-m", "whylabel", "serve", arguments.model, "--port", "0", "--engine", arguments.engine]
    best: dict[str, dict[str, float]] = {}
    for _ in range(arguments.rounds):
        with closing(TrainedClassifier.from_folder(arguments.model, engine=engine)) as model:
            rows = [(str(number), text) for number, text in enumerate(texts)]
            for mode in ("fast", "reasoned"):
                list(model.predict(rows[:4], mode))
                started = time.monotonic()
                list(model.predict(rows, mode))
                note(best, mode, "offline", len(texts) / (time.monotonic() - started))
        with server([*command, "--max-queue", "1024"]) as (url, _):
            for mode in ("fast", "reasoned"):
                ask(url, texts[:4], mode)
                note(best, mode, "served", closed_loop(url, texts, mode))
        say(f"throughput: {best}")
    return {
        mode: {**figures, "ratio": round(figures["served"] / figures["offline"], 3)}
        for mode, figures in best.items()
    }


def note(best: dict[str, dict[str, float]], mode: str, what: str, rate: float) -> None:
    """Keep a rate if it is the best."""
    figures = best.setdefault(mode, {})
    figures[what] = round(max(rate, figures.get(what, 0.0)), 2)


def closed_loop(url: str, texts: Sequence[str], mode: str) -> float:
    """Return the rows a second of clients that each ask for one text after another."""

    def client(number: int) -> None:
        with httpx2.Client() as connection:
            for text in texts[number::CLIENTS]:
                ask(url, text, mode, connection)

    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    return len(texts) / (time.monotonic() - started)


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    beside_, lines = found["fast_beside_reasonings"], []
    lines.append("| measured | | wanted |\n|---|---:|---:|")
    lines.append(
        f"| a request whose engine computes nothing, median | {found['overhead']['p50_ms']} ms | 3 ms |"
    )
    for name, words in (("alone", "an answer at once, alone"), ("beside", "beside 32 reasonings")):
        figures = beside_[name]
        lines.append(
            f"| {words}: median, 95th percentile | {figures['p50_ms']:.0f}, {figures['p95_ms']:.0f} ms | |"
        )
    lines.append(f"| ratio of the 95th percentiles | {beside_['p95_ratio']} | 2 |")
    for mode, figures in found["throughput"].items():
        lines.append(
            f"| 32 clients, {mode}: served, offline | {figures['served']}, {figures['offline']} rows/s | |"
        )
        lines.append(f"| ratio | {figures['ratio']} | 0.9 |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
