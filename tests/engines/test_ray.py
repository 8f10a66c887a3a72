"""The engine over Ray, as far as one process can tell, and on a cluster of its own; see test_ray_cluster.py."""

import signal
from collections.abc import Iterator

import psutil
import pytest

from whylabel.engines import Completion, Sampling, spread
from whylabel.engines.ray_cluster import Layout, connect, layout
from whylabel.engines.ray_worker import EngineWorker, WorkerPlan
from whylabel.errors import EngineError
from whylabel.models.fingerprint import model_fingerprint
from whylabel.models.load import ModelSource
from whylabel.recipe import EngineConfig
from whylabel.text.prompts import Prompt

SAMPLING = Sampling(20, (0,))
PROMPTS = [Prompt((1,) * (length + 1)) for length in range(20)]
CPUS = [{"CPU": 4.0}, {"CPU": 8.0}]
GPUS = [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 16.0, "GPU": 4.0}, {"CPU": 64.0}, {}]


@pytest.mark.parametrize(
    ("config", "device", "nodes", "expected"),
    [
        ({}, "auto", CPUS, Layout(3, 4, 0, 3)),
        ({"workers": 2}, "auto", CPUS, Layout(2, 4, 0, 3)),
        ({"workers": 4}, "auto", CPUS, Layout(4, 2, 0, 6)),
        ({"workers": 50}, "auto", CPUS, Layout(50, 1, 0, 12)),
        ({"cpus_per_worker": 3}, "auto", CPUS, Layout(3, 3, 0, 3)),
        ({}, "auto", GPUS, Layout(6, 1, 1, 6)),
        ({"gpus_per_worker": 0.5, "cpus_per_worker": 3}, "auto", GPUS, Layout(9, 3, 0.5, 9)),
        ({}, "cpu", GPUS, Layout(6, 16, 0, 6)),
        ({"gpus_per_worker": 0, "cpus_per_worker": 60}, "auto", GPUS, Layout(1, 60, 0, 1)),
    ],
)
def test_workers_and_what_they_reserve(config, device, nodes, expected):
    assert layout(EngineConfig(distributed="ray", **config), device, nodes) == expected


@pytest.mark.parametrize(
    ("config", "device"), [({"cpus_per_worker": 9}, "auto"), ({}, "cuda"), ({"gpus_per_worker": 1}, "auto")]
)
def test_a_worker_that_no_node_has_room_for(config, device):
    with pytest.raises(EngineError, match=r"No node has room .* the nodes have 4 and 0, 8 and 0"):
        layout(EngineConfig(distributed="ray", **config), device, CPUS)


def test_ray_that_is_missing_or_does_not_answer(monkeypatch):
    with pytest.raises(EngineError, match="There is no connection to the Ray cluster '127.0.0.1:1'"):
        connect("127.0.0.1:1")
    monkeypatch.setattr("whylabel.engines.ray_cluster.installed_version", lambda name: None)
    with pytest.raises(EngineError) as raised:
        connect(None)
    assert raised.value.fix == "pip install 'whylabel[ray]'"


# -- a worker, in this process -----------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch):
    """Return a function that starts a worker, and leaves this process as it was."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def start(**plan):
        worker = EngineWorker(
            WorkerPlan(
                **{"engine": "scripted", "model": "none", "device": "cpu", "options": {}, **plan}, cores=1
            )
        )
        worker.start()
        return worker

    return start


def everything(worker, prompts) -> list[Completion]:
    found, ended = worker.begin(prompts, SAMPLING)
    while not ended:
        more, ended = worker.take()
        found += more
    return found


def test_a_worker_gives_what_its_engine_gives(started):
    worker = started(options={"answers": ["one", "two"], "fail_every": 3})
    for _ in range(2):
        found = everything(worker, PROMPTS[:4])
        assert [row.text for row in found] == ["one", "two", "", "two"]
        assert [row.index for row in found] == [0, 1, 2, 3]
    worker.close()


def test_an_engine_that_breaks_off_says_so_after_what_it_had_finished(started, monkeypatch):
    class Broken:
        name = "broken"

        def generate(self, prompts, sampling) -> Iterator[Completion]:
            yield Completion(0, "fine", 1, 1, "stop")
            raise MemoryError("too large")

    monkeypatch.setattr("whylabel.engines.make_engine", lambda *_: Broken())
    worker = started()
    found, ended = worker.begin(PROMPTS[:2], SAMPLING)
    while not found:
        found, ended = worker.take()
    assert ([row.text for row in found], ended) == (["fine"], False)
    with pytest.raises(EngineError, match="MemoryError: too large"):
        while not ended:
            _, ended = worker.take()


def test_a_model_that_this_node_has_not_or_has_otherwise_is_refused(started, tiny_model_folder, tmp_path):
    expected = model_fingerprint(str(tiny_model_folder))
    started(model=str(tiny_model_folder), fingerprint=expected)
    with pytest.raises(EngineError, match="has no .*nowhere") as raised:
        started(model=str(tmp_path / "nowhere"), fingerprint=expected)
    assert "storage that every node sees" in raised.value.fix
    with pytest.raises(EngineError, match="has another model at"):
        started(model=str(tiny_model_folder), fingerprint="0" * 64)
    with pytest.raises(EngineError, match=r"has whylabel .*, this process has 0\.0\.0"):
        started(version="0.0.0")


# -- a cluster of its own ----------------------------------------------------------------------------------


def test_a_cluster_of_its_own_gives_every_row_once_and_leaves_nothing_behind(capfd):
    before, handler = psutil.Process().children(recursive=True), signal.getsignal(signal.SIGTERM)
    config = EngineConfig(distributed="ray", workers=2, cpus_per_worker=1, gpus_per_worker=0, rows_per_task=4)
    options = {"answers": ["one", "two", "three"], "fail_every": 4, "delay_seconds": 0.01}
    engine = spread("scripted", ModelSource("none"), options, config)
    try:
        for _ in range(2):
            found = sorted(engine.generate(PROMPTS, SAMPLING), key=lambda row: row.index)
            assert [row.index for row in found] == list(range(20))
            assert [row.prompt_tokens for row in found] == list(range(1, 21))
            assert [row.text for row in found] == ["one", "two", "three", ""] * 5
            assert [row.error for row in found if row.error] == ["scripted failure"] * 5
        assert list(engine.generate([], SAMPLING)) == []
    finally:
        engine.close()
    engine.close()
    left = [process for process in psutil.Process().children(recursive=True) if process not in before]
    assert psutil.wait_procs(left, timeout=30)[1] == []
    assert signal.getsignal(signal.SIGTERM) == handler
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "ray: engine scripted runs on" in printed.err
