"""The engine over Ray on a real cluster of two raylets with resources of their own; workers and a node die."""

import os
import signal
from collections import Counter
from contextlib import closing

import psutil
import pyarrow.parquet
import pytest

from whylabel.engines import Sampling, make_engine, spread
from whylabel.errors import EngineError
from whylabel.models.load import ModelSource
from whylabel.reasonings.store import open_store
from whylabel.recipe import AugmentConfig, EngineConfig
from whylabel.stages.augment import Reasoner, Work, augment
from whylabel.text.prompts import Prompt, Prompts
from whylabel.types import Example

pytestmark = pytest.mark.slow

SAMPLING = Sampling(20, (0,))
PROMPTS = [Prompt((100 + number,)) for number in range(40)]
POISON, BROKEN, WARM_UP = Prompt((666,)), Prompt((777,)), Prompt((999,))
_STORE = 100 * 2**20

# An outsider's engine, added by entry point: it writes down what it is asked, and some prompts end it.
FRAGILE = """
import os, signal, time
from whylabel.engines import Completion
from whylabel.errors import EngineError

class Fragile:
    name = "fragile"
    def __init__(self, log, seconds):
        self.log, self.seconds = log, seconds
    def generate(self, prompts, sampling):
        for index, prompt in enumerate(prompts):
            time.sleep(self.seconds)
            if prompt.ids == (666,):
                os.kill(os.getpid(), signal.SIGKILL)
            if prompt.ids == (777,):
                raise EngineError("The endpoint is gone.", fix="call it back")
            with open(self.log, "a") as file:
                file.write(f"{os.getppid()} {prompt.ids[0]}\\n")
            yield Completion(index, f"a reason of five words: {prompt.ids[0]}", 1, 6, "stop")
    def close(self):
        pass

def make(model, options):
    return Fragile(**options)
"""


@pytest.fixture(scope="module")
def outsider(tmp_path_factory):
    """The folder of an installed package with the engine `fragile`."""
    folder = tmp_path_factory.mktemp("outsider")
    (folder / "fragile.py").write_text(FRAGILE)
    info = folder / "fragile-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[whylabel.engines]\nfragile = fragile:make\n")
    return folder


@pytest.fixture(scope="module")
def cluster(outsider):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(outsider), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "object_store_memory": _STORE, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(num_cpus=1, object_store_memory=_STORE)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def open_engine(cluster):
    """Return a function that opens an engine over the cluster; it is closed at the end."""
    opened = []

    def make(name, options, model="none", **config):
        config = EngineConfig(
            distributed="ray",
            address=cluster.address,
            **{"rows_per_task": 10, "gpus_per_worker": 0, **config},
        )
        opened.append(spread(name, ModelSource(model), options, config))
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()


@pytest.fixture
def fragile(open_engine, tmp_path):
    """Return a function that opens the engine `fragile`, all workers ready, and one that reads who was asked what."""
    log = tmp_path / "log"

    def open_fragile(seconds=0.0, **config):
        engine = open_engine("fragile", {"log": str(log), "seconds": seconds}, **config)
        while len(workers_of(engine)) < engine._layout.workers:
            list(engine.generate([WARM_UP] * 20, SAMPLING))
        return engine

    def asked():
        lines = [line.split() for line in log.read_text().splitlines()]
        return [(int(parent), int(row)) for parent, row in lines if (int(row),) != WARM_UP.ids]

    return open_fragile, asked


def workers_of(engine):
    return [psutil.Process(worker.started.pid) for worker in engine._workers if worker.started]


def end(processes):
    """Return whether all of them end; Ray needs a moment."""
    return psutil.wait_procs(processes, timeout=60)[1] == []


def test_both_nodes_work_and_every_row_comes_once_under_its_own_index(fragile):
    open_fragile, asked = fragile
    engine = open_fragile(0.05)
    found = list(engine.generate(PROMPTS, SAMPLING))
    assert sorted(row.index for row in found) == list(range(40))
    assert all(row.text.endswith(f" {100 + row.index}") for row in found)
    raylets = Counter(parent for parent, _ in asked())
    assert len(raylets) == 2
    assert min(raylets.values()) >= 10


def test_a_worker_that_is_killed_in_the_middle_loses_no_row_of_the_store(fragile, tmp_path):
    open_fragile, asked = fragile
    engine = open_fragile(0.05)
    examples = [Example(f"row-{number}", f"The text of number {number}", "joy") for number in range(60)]
    places = {example.text: number for number, example in enumerate(examples)}

    class Killing:
        """The engine, with an accident once 15 rows have been delivered."""

        name = engine.name

        def __init__(self):
            self.delivered = []

        def generate(self, asked_prompts, sampling):
            for completion in engine.generate(asked_prompts, sampling):
                self.delivered.append(completion.index)
                if len(self.delivered) == 15:
                    os.kill(engine._workers[0].started.pid, signal.SIGKILL)
                yield completion

    killing = Killing()
    reasoner = Reasoner("fragile", killing, lambda text, _: Prompt((places[text],)), SAMPLING, {"a": 1})
    with open_store(tmp_path / "store.sqlite") as store:
        work = Work(reasoner, store, AugmentConfig())
        outcome = augment(
            examples, work, kept=tmp_path / "kept.parquet", dropped=tmp_path / "dropped.parquet"
        )
        assert len(store) == 60
    assert (outcome.sorted.kept, outcome.sorted.failed, outcome.sorted.dropped.total()) == (60, 0, 0)
    assert sorted(killing.delivered) == list(range(60))
    kept = pyarrow.parquet.read_table(tmp_path / "kept.parquet").to_pylist()
    assert [row["reasoning"] for row in kept] == [f"a reason of five words: {n}" for n in range(60)]
    # Only what had not been delivered ran again: a row or two that the dead worker had finished, at most.
    times = Counter(row for _, row in asked())
    again = [row for row, count in times.items() if count > 1]
    assert not set(again) & set(killing.delivered[:15])
    assert set(times.values()) <= {1, 2}


def test_a_row_that_kills_its_worker_fails_alone(fragile):
    open_fragile, _ = fragile
    engine = open_fragile()
    prompts = [*PROMPTS[:13], POISON, *PROMPTS[13:]]
    found = {row.index: row for row in engine.generate(prompts, SAMPLING)}
    assert sorted(found) == list(range(41))
    assert [index for index, row in found.items() if row.finish == "error"] == [13]
    assert found[13].error.startswith("its worker died")


def test_workers_that_die_without_end_end_the_call(fragile, monkeypatch):
    monkeypatch.setattr("whylabel.engines.ray._MAX_DEATHS_IN_A_ROW_PER_WORKER", 2)
    open_fragile, _ = fragile
    engine = open_fragile()
    with pytest.raises(EngineError, match="die without finishing a row, 5 by now"):
        list(engine.generate([POISON] * 40, SAMPLING))


def test_an_engine_that_is_gone_raises_after_what_was_finished(fragile):
    open_fragile, _ = fragile
    engine = open_fragile()
    found, workers = [], []
    with pytest.raises(EngineError, match="The endpoint is gone") as raised:
        for row in engine.generate([*PROMPTS[:5], BROKEN], SAMPLING):
            workers = workers or workers_of(engine)
            found.append(row.index)
    assert raised.value.fix == "call it back"
    # The broken prompt ends a task of three: its two companions were finished before.
    assert {3, 4} <= set(found)
    assert end(workers)
    # The next call has workers again.
    assert len(list(engine.generate(PROMPTS, SAMPLING))) == 40


def test_options_that_the_engine_does_not_take_are_refused_as_without_ray(open_engine):
    engine = open_engine("scripted", {"speed": 3})
    with pytest.raises(EngineError, match="does not take these options") as raised:
        list(engine.generate(PROMPTS, SAMPLING))
    assert raised.value.where == "augment.engine_options"


def test_an_iterator_closed_early_ends_the_workers_and_leaves_the_cluster_alone(fragile, cluster):
    open_fragile, asked = fragile
    engine = open_fragile(0.05)
    with closing(engine.generate(PROMPTS, SAMPLING)) as rows:
        next(rows)
        workers = workers_of(engine)
    assert end(workers)
    written = len(asked())
    assert written < 40
    engine.close()
    import ray

    assert not ray.is_initialized()
    assert all(node.remaining_processes_alive() for node in cluster.list_all_nodes())
    assert len(asked()) == written


def test_greedy_is_what_the_engine_alone_writes_and_equal_prompts_are_drawn_apart(
    open_engine, tiny_model_folder
):
    model = ModelSource(str(tiny_model_folder), "cpu")
    prompts = Prompts(model.tokenizer)
    rows = [prompts.reasoner_for_text(f"The text of number {number}", "joy") for number in range(12)]
    greedy = Sampling(12, tuple(sorted(prompts.stop_ids)))
    alone = {row.index: row for row in make_engine("transformers", model, {}).generate(rows, greedy)}
    engine = open_engine("transformers", {}, model=str(tiny_model_folder), rows_per_task=3)
    spread_out = {row.index: row for row in engine.generate(rows, greedy)}
    for index in range(12):
        ours, theirs = spread_out[index], alone[index]
        assert (ours.text, ours.tokens, ours.finish) == (theirs.text, theirs.tokens, theirs.finish)
    drawn = engine.generate([rows[0]] * 12, Sampling(12, greedy.stop_ids, temperature=1.0, seed=5))
    assert len({row.text for row in drawn}) == 12


def test_a_node_that_dies_takes_no_row_along(fragile, cluster):
    third = cluster.add_node(num_cpus=1, object_store_memory=_STORE)
    open_fragile, asked = fragile
    engine = open_fragile(0.05)
    found = []
    for row in engine.generate(PROMPTS * 2, SAMPLING):
        found.append(row.index)
        if len(found) == 20:
            assert len({parent for parent, _ in asked()}) == 3
            cluster.remove_node(third, allow_graceful=False)
    assert sorted(found) == list(range(80))
