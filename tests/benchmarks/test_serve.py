"""The benchmark of serving: its figures, and the part that needs no model."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serve.py"


@pytest.fixture(scope="module")
def serve():
    spec = importlib.util.spec_from_file_location("benchmarks_serve", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_median_and_percentile(serve):
    found = serve.milliseconds([0.001 * number for number in range(1, 101)])
    assert found["p50_ms"] == 50.5
    assert found["p95_ms"] == pytest.approx(95.95, abs=0.2)


def test_a_request_whose_engine_computes_nothing(serve):
    found = serve.overhead(requests=40)
    assert found["requests"] == 36
    assert 0 < found["p50_ms"] < 30


def test_the_table_has_every_figure(serve):
    speed = {"p50_ms": 1.0, "p95_ms": 2.0, "requests": 3}
    found = {
        "overhead": speed,
        "fast_beside_reasonings": {"alone": speed, "beside": speed, "p95_ratio": 1.7},
        "throughput": {"fast": {"served": 9.0, "offline": 10.0, "ratio": 0.9}},
    }
    table = serve.table(found)
    assert "| ratio of the 95th percentiles | 1.7 | 2 |" in table
    assert "| 32 clients, fast: served, offline | 9.0, 10.0 rows/s | |" in table


def test_both_processes_are_weighed_while_they_answer(capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import serve_memory

    from serving_servers import start_fake

    server = start_fake()
    try:
        weights = serve_memory.weigh(server.url, server.process.pid, minutes=2, minute=0.5)
    finally:
        server.process.kill()
        server.process.wait()
    assert len(weights) == 3
    assert all(http > 10 and engine > 5 for http, engine in weights)
    last = capsys.readouterr().out.splitlines()[-1].split("|")
    assert int(last[1]) == 2 and int(last[4]) > 10
