"""Whatever happens to an engine or a client, every accepted request is answered, and no place stays taken."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psutil
import pytest

from serving_servers import fake_command


def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def ready(server):
    return server.client.get("/readyz").status_code == 200


def taken_back(server):
    return int(server.classify("count").json()["data"][0]["reasoning"])


def test_a_killed_engine_is_started_again_and_its_requests_are_answered(serve_fake):
    server = serve_fake({"FAKE_LOAD_SECONDS": "1"})
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(server.classify, "sleep 20") for _ in range(8)]
        time.sleep(0.5)
        os.kill(server.engine_pid(), signal.SIGKILL)
        answers = [one.result(5) for one in waiting]
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert server.client.get("/readyz").status_code == 503
    assert server.client.get("/healthz").status_code == 200
    assert server.classify("x").status_code == 503
    until(lambda: ready(server), 5)
    assert server.classify("x").status_code == 200
    assert len(server.events("engine_lost")) == 1


def test_a_text_that_ends_the_engine_takes_it_down_once_only(serve_fake):
    server = serve_fake()
    assert server.classify("die").status_code == 503
    until(lambda: ready(server))
    assert server.classify("x").status_code == 200
    assert len(server.events("engine_ready")) == 2


def test_an_engine_that_hangs_is_exchanged(serve_fake):
    server = serve_fake(stall_timeout=1.5)
    answer = server.classify("hang")
    assert answer.status_code == 503
    until(lambda: ready(server))
    assert len(server.events("engine_stalled")) == 1


def test_an_engine_that_has_work_for_long_is_not_taken_for_one_that_hangs(serve_fake):
    server = serve_fake(stall_timeout=1.0)
    assert server.classify("sleep 3").status_code == 200
    assert not server.events("engine_stalled")


def test_a_deadline_frees_the_place(serve_fake):
    server = serve_fake(timeout=0.5, max_queue=2)
    answer = server.classify(["sleep 30", "x"])
    assert answer.status_code == 504
    assert "0.5 s" in answer.json()["error"]["message"]
    assert taken_back(server) == 1
    assert server.classify(["x", "x"]).status_code == 200


def test_a_client_that_goes_away_frees_its_place_and_no_other(serve_fake):
    server = serve_fake(max_queue=4)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(server.classify, "sleep 2 other")
        with contextlib.suppress(httpx2.TimeoutException):
            server.client.post("/v1/classify", json={"input": ["sleep 30"] * 3}, timeout=0.5)
        until(lambda: server.classify("count").status_code == 200)
        assert taken_back(server) == 3
        assert other.result().json()["data"][0]["reasoning"] == "sleep 2 other"
    until(lambda: any(line["status"] == 499 for line in server.events("request")))


def test_a_full_queue_refuses_at_once(serve_fake):
    server = serve_fake(max_queue=4)
    with ThreadPoolExecutor(4) as pool:
        held = [pool.submit(server.classify, "sleep 1.5") for _ in range(3)]
        time.sleep(0.5)
        # Every text of a request counts.
        answer = server.classify(["x", "x"])
        assert not any(one.done() for one in held)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert server.classify("x").status_code == 200
        assert {one.result().status_code for one in held} == {200}
    assert server.classify(["x"] * 4).status_code == 200


def test_while_the_model_loads_the_server_says_so(serve_fake):
    server = serve_fake({"FAKE_LOAD_SECONDS": "3"}, wait=False, port=18_431)
    client = httpx2.Client(base_url="http://127.0.0.1:18431")

    def answers():
        with contextlib.suppress(httpx2.ConnectError):
            return client.get("/healthz").status_code == 200

    until(answers)
    for answer in (
        client.get("/readyz"),
        client.get("/v1/models"),
        client.post("/v1/classify", json={"input": "x"}),
    ):
        assert answer.status_code == 503
    server.wait()
    assert client.get("/readyz").status_code == 200


def test_a_model_that_cannot_be_loaded_ends_the_program(tmp_path):
    from serving_servers import Server

    code = (
        "import sys; from whylabel.serving.messages import EngineSettings; from whylabel.serving.server import serve;"
        "from whylabel.serving.settings import ServeSettings; from whylabel.errors import EngineError\n"
        "try: serve(ServeSettings('m', port=0), EngineSettings('broken'), (sys.executable, sys.argv[1]))\n"
        "except EngineError as error: print(error, file=sys.stderr); sys.exit(2)"
    )
    import sys

    from serving_servers import FAKE_ENGINE

    server = Server([sys.executable, "-c", code, FAKE_ENGINE], wait=False)
    assert server.process.wait(30) == 2
    server.stop()
    assert "It is broken." in server.said
    assert "  fix: mend it" in server.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_accepted_requests_are_answered_before_the_server_ends(serve_fake, number):
    server = serve_fake()
    engine = server.engine_pid()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(server.classify, f"sleep 2 {place}") for place in range(8)]
        time.sleep(0.7)
        server.process.send_signal(number)
        for place, one in enumerate(waiting):
            answer = one.result(10)
            assert answer.status_code == 200
            assert answer.json()["data"][0]["reasoning"] == f"sleep 2 {place}"
    assert server.stop() == 0
    assert not psutil.pid_exists(engine)


def test_what_takes_too_long_gets_503_when_the_server_ends(serve_fake):
    server = serve_fake(shutdown_timeout=1.0)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(server.classify, "sleep 60") for _ in range(4)]
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        answers = [one.result(10) for one in waiting]
    assert {answer.status_code for answer in answers} == {503}
    assert all("retry-after" in answer.headers for answer in answers)
    assert server.stop() == 0


def test_sigterm_under_load_loses_no_accepted_request(serve_fake):
    server = serve_fake()
    outcomes = []
    stop = threading.Event()

    def ask(number):
        with httpx2.Client(base_url=server.url, timeout=30) as client:
            count = 0
            while not stop.is_set():
                count += 1
                text = f"sleep 0.1 {number}-{count}"
                try:
                    answer = client.post("/v1/classify", json={"input": text})
                except (httpx2.ConnectError, httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                    # Between two requests on a connection that is kept, or on a new one: it was not accepted.
                    return
                right = answer.status_code != 200 or answer.json()["data"][0]["reasoning"] == text
                outcomes.append((answer.status_code, right))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    server.process.send_signal(signal.SIGTERM)
    assert server.stop() == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert outcomes and {status for status, _ in outcomes} <= {200, 503}
    assert all(right for _, right in outcomes)


def test_a_reload_loses_no_request_and_answers_with_the_new_model(serve_fake, monkeypatch):
    server = serve_fake({"FAKE_LOAD_SECONDS": "0.7"})
    first = server.engine_pid()
    outcomes = []
    stop = threading.Event()

    def ask():
        with httpx2.Client(base_url=server.url, timeout=30) as client:
            while not stop.is_set():
                outcomes.append(client.post("/v1/classify", json={"input": "sleep 0.2"}).status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(server.classify, "sleep 3 long")
        time.sleep(0.5)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(server.events("engine_ready")) == 2)
        time.sleep(0.5)
        # The old one ends when it has answered what it was asked, not before.
        assert psutil.pid_exists(first)
        assert long.result().json()["data"][0]["reasoning"] == "sleep 3 long"
    until(lambda: not psutil.pid_exists(first))
    stop.set()
    for thread in threads:
        thread.join()
    assert set(outcomes) == {200}
    assert not server.events("engine_lost")


def test_an_engine_does_not_outlive_its_server(serve_fake):
    server = serve_fake()
    engine = server.engine_pid()
    server.process.kill()
    server.process.wait()
    until(lambda: not psutil.pid_exists(engine) or psutil.Process(engine).status() == psutil.STATUS_ZOMBIE)


def test_a_port_that_is_taken_is_said_in_one_line(fake):
    from whylabel.errors import UsageError
    from whylabel.serving.messages import EngineSettings
    from whylabel.serving.server import serve
    from whylabel.serving.settings import ServeSettings

    with pytest.raises(UsageError, match="cannot listen") as raised:
        serve(ServeSettings("m", port=fake.port), EngineSettings("m"))
    assert raised.value.where == f"127.0.0.1:{fake.port}"
    with socket.create_connection(("127.0.0.1", fake.port)):
        pass


def test_a_server_that_is_stopped_while_it_loads_ends_before_it_has_loaded(serve_fake):
    server = serve_fake({"FAKE_LOAD_SECONDS": "30"}, wait=False, port=18_432)
    until(lambda: any("Loading" in line for line in server.said))
    time.sleep(0.5)
    assert server.stop() == 0
    assert not server.events("engine_ready")


def test_reloads_at_once_leave_one_engine(serve_fake):
    server = serve_fake({"FAKE_LOAD_SECONDS": "0.5"})
    for _ in range(3):
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
    until(lambda: len(server.events("engine_ready")) == 4)
    until(lambda: len(psutil.Process(server.process.pid).children()) == 1)
    assert server.classify("x").status_code == 200
    assert not server.events("engine_lost")


def test_places_are_free_only_when_the_engine_has_dropped_their_texts(serve_fake):
    server = serve_fake(max_queue=4)
    statuses = []
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(server.classify, "busy 2")
        time.sleep(0.3)
        # A client that asks and goes away, again and again, while the engine is in a long step.
        for _ in range(6):
            with contextlib.suppress(httpx2.TimeoutException):
                answer = server.client.post("/v1/classify", json={"input": ["x"] * 3}, timeout=0.15)
                statuses.append(answer.status_code)
        assert statuses == [429] * 5
        assert "whylabel_queue_depth 4.0" in server.client.get("/metrics").text
        assert busy.result().status_code == 200
    assert server.classify(["x"] * 4).status_code == 200


def test_an_old_engine_that_hangs_does_not_keep_its_places(serve_fake):
    server = serve_fake(stall_timeout=1.5)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(server.classify, "hang")
        time.sleep(0.3)
        server.process.send_signal(signal.SIGHUP)
        assert held.result(10).status_code == 503
    until(lambda: "whylabel_queue_depth 0.0" in server.client.get("/metrics").text)
    until(lambda: len(psutil.Process(server.process.pid).children()) == 1)
    assert server.classify("x").status_code == 200


def test_an_engine_that_says_what_has_no_meaning_is_exchanged(serve_fake):
    server = serve_fake()
    assert server.classify("garble").status_code == 503
    until(lambda: ready(server))
    assert server.classify("x").status_code == 200
    assert [line["error"] for line in server.events("engine_lost")] == ["KeyError"]


def test_reloads_follow_one_another(serve_fake):
    server = serve_fake({"FAKE_LOAD_SECONDS": "0.6"})
    for _ in range(3):
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    most = 0

    def all_loaded():
        nonlocal most
        most = max(most, len(psutil.Process(server.process.pid).children()))
        return len(server.events("engine_ready")) == 4

    until(all_loaded)
    # The one that answers, and the one that is loaded; for a moment also one that is to end.
    assert most <= 3


def test_an_engine_that_is_lost_while_another_is_loaded_is_replaced_once(serve_fake):
    server = serve_fake({"FAKE_LOAD_SECONDS": "1"})
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.4)
    os.kill(server.engine_pid(), signal.SIGKILL)
    until(lambda: len(server.events("engine_lost")) == 1)
    until(lambda: ready(server))
    time.sleep(1.5)
    assert len(server.events("engine_ready")) == 2
    assert len(psutil.Process(server.process.pid).children()) == 1


def test_a_request_for_more_texts_than_may_wait_is_told_so(serve_fake):
    server = serve_fake(max_queue=4)
    answer = server.classify(["x"] * 5)
    assert answer.status_code == 422
    assert "4 texts (--max-queue), not 5" in answer.json()["error"]["message"]
    assert server.classify(["x"] * 4).status_code == 200


def test_a_log_that_nobody_reads_any_more_costs_no_answer():
    process = subprocess.Popen(fake_command(), stderr=subprocess.PIPE, text=True)
    try:
        url = next(found[1] for line in process.stderr if (found := re.search(r"Serving .* at (\S+)", line)))
        process.stderr.close()

        def answers():
            return httpx2.post(f"{url}/v1/classify", json={"input": "x"}).status_code == 200

        assert all(answers() for _ in range(3))
        (engine,) = psutil.Process(process.pid).children()
        engine.kill()
        until(answers)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
