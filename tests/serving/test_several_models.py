"""Several models in one server, each with an engine of its own."""

import os
import signal
import time

import pytest

from serving_servers import start_fake
from whylabel.cli.serve import _named
from whylabel.errors import ServerError, UsageError
from whylabel.run_folder import RunFolder
from whylabel.serving.client import Client


@pytest.fixture
def two():
    server = start_fake(others=["second"])
    yield server
    server.process.kill()
    server.process.wait()


def test_each_answers_to_its_name_and_the_first_to_none(two):
    assert [model["id"] for model in two.client.get("/v1/models").json()["data"]] == ["fake", "second"]
    for given, answered in (("second", "second"), ("fake", "fake"), (None, "fake")):
        assert two.classify("x", model=given).json()["model"] == answered
    assert two.classify("x", model="third").status_code == 404
    with Client(two.url) as first, Client(two.url, model="second") as second:
        assert (first.model().id, second.model().id) == ("fake", "second")
        assert second.classify("x").label
        with pytest.raises(ServerError, match="no such model"), Client(two.url, model="third") as third:
            third.model()
    assert two.client.get("/v1/models/second").json()["id"] == "second"
    assert two.client.get("/v1/labels", params={"model": "second"}).status_code == 200
    assert two.client.get("/v1/labels", params={"model": "third"}).status_code == 404
    assert len({line["pid"] for line in two.events("engine_ready")}) == 2


def test_one_that_is_lost_takes_no_other_down(two):
    _, second = (line["pid"] for line in two.events("engine_ready"))
    os.kill(second, signal.SIGKILL)
    assert {two.classify("x", model=name).status_code for name in ("fake", "second")} <= {200, 503}
    deadline = time.monotonic() + 60
    while two.client.get("/readyz").status_code != 200 or len(two.events("engine_ready")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert two.classify("x", model="second").status_code == two.classify("x", model="fake").status_code == 200


def test_all_stop_and_all_are_loaded_again(two):
    two.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 60
    while len(two.events("engine_ready")) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert two.stop() == 0


def test_each_has_a_name_of_its_own(tmp_path):
    inside = tmp_path / "runs" / "b" / "classifier" / "model"
    inside.mkdir(parents=True)
    RunFolder(tmp_path / "runs" / "b").update_manifest(seed=13)
    assert _named(("runs/a", str(inside), "/model"), ()) == {
        "a": "runs/a",
        "b": str(inside),
        "model": "/model",
    }
    assert _named(("x/a", "y/a"), ("one", "two")) == {"one": "x/a", "two": "y/a"}
    with pytest.raises(UsageError, match="Two models have the name 'a'"):
        _named(("x/a", "y/a"), ())
    for odd in ("owner/name", ""):
        with pytest.raises(UsageError, match="part of addresses"):
            _named(("x/a",), (odd,))
    with pytest.raises(UsageError, match="2 models and 1 names"):
        _named(("x/a", "y/b"), ("one",))
