"""The typed client, and every way in which a server may be out of reach."""

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from whylabel.errors import ServerError
from whylabel.serving.client import Classification, Client, Draft, Options

TEXTS = ["It was a bright day, number 0", "It was a grey day, number 4"]


@pytest.fixture
def client(served):
    with Client(served.url) as client:
        yield client


def test_an_answer_is_that_of_predict(client, dual_model):
    options = Options("reasoned", evidence=True, show_all=True)
    found = client.classify(TEXTS[1], options)
    (wanted,) = dual_model[0].predict([("1", TEXTS[1])], "reasoned", evidence=True, show_all=True)
    assert (found.label, found.mode, found.reasoning) == (wanted.label, "reasoned", wanted.reasoning)
    assert found.probabilities == pytest.approx(
        dict(zip(dual_model[0].labels.names, wanted.probabilities, strict=True)), abs=1e-5
    )
    assert [(one.start, one.end) for one in found.evidence] == [
        (one.start, one.end) for one in wanted.evidence
    ]


def test_every_text_gets_an_answer_in_order(client):
    texts = [*TEXTS * 20, None, " ", "\ud800", "x" * 30_000, TEXTS[0]]
    found = list(client.classify_all(iter(texts), texts_per_request=3))
    assert [one.label for one in found[:40]] == [one.label for one in found[:2]] * 20
    none, blank, broken, long, last = found[40:]
    assert {one.status for one in (none, blank, broken, long)} == {"failed"}
    assert (none.error, broken.error) == (broken.error, "the text is not readable as text (broken Unicode)")
    assert "20000 are allowed" in long.error
    assert last.label == found[0].label


def test_a_stream_has_drafts_and_then_the_answer(client):
    *drafts, answer = client.stream(TEXTS[1], Options("reasoned", show_all=True))
    assert isinstance(answer, Classification)
    assert all(isinstance(one, Draft) for one in drafts)
    assert "".join(one.text for one in drafts) == answer.reasoning


def test_the_model(client, dual_model):
    model = client.model()
    assert (model.id, model.labels) == ("tiny", dual_model[0].labels.names)
    assert (model.modes[0], model.label_separator) == (dual_model[0].mode, None)


def test_a_refusal_names_the_field(client):
    with pytest.raises(ServerError) as raised:
        client.classify("x", Options("nonsense"))
    assert (raised.value.status, raised.value.param) == (422, "mode")


def test_a_busy_server_is_asked_again(serve_fake):
    server = serve_fake(max_queue=1)
    with ThreadPoolExecutor(1) as pool, Client(server.url) as client:
        held = pool.submit(server.classify, "sleep 1.2")
        time.sleep(0.4)
        assert client.classify("x").reasoning == "x"
        held.result()
    assert [line["status"] for line in server.events("request")].count(429) >= 1
    with Client(server.url, retries=0) as client, ThreadPoolExecutor(1) as pool:
        held = pool.submit(server.classify, "sleep 1")
        time.sleep(0.4)
        with pytest.raises(ServerError, match="waiting") as raised:
            client.classify("x")
        assert raised.value.status == 429
        held.result()


def test_texts_that_take_too_long_together_are_asked_alone(serve_fake):
    server = serve_fake(timeout=2.0)
    with Client(server.url) as client:
        texts = [*(f"busy 0.6 {number}" for number in range(4)), "sleep 5", "quick"]
        found = list(client.classify_all(texts, texts_per_request=6, requests=1))
    assert [one.status for one in found] == ["ok"] * 4 + ["failed", "ok"]
    assert "2 s" in found[4].error or "time" in found[4].error


def test_a_killed_engine_costs_time_but_no_answer(serve_fake):
    import os
    import signal

    server = serve_fake()
    with Client(server.url) as client, ThreadPoolExecutor(1) as pool:
        texts = [f"sleep 1.5 {number}" for number in range(100)]
        found = pool.submit(lambda: [one.reasoning for one in client.classify_all(texts)])
        time.sleep(0.4)
        os.kill(server.engine_pid(), signal.SIGKILL)
        assert found.result(60) == texts
    assert len(server.events("engine_lost")) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://", "nonsense", "ftp://x", "http://[::1"])
def test_no_server(url):
    with pytest.raises(ServerError), Client(url, retries=0) as client:
        client.classify("x")


def test_a_key_is_taken_from_the_environment(serve_fake, monkeypatch):
    key = "a-key-of-the-tests-0123456789"
    server = serve_fake(keys=[key])
    monkeypatch.delenv("WHYLABEL_API_KEY", raising=False)
    with Client(server.url) as client, pytest.raises(ServerError, match="needs an API key") as raised:
        client.model()
    assert "WHYLABEL_API_KEY" in raised.value.fix
    monkeypatch.setenv("WHYLABEL_API_KEY", key)
    with Client(server.url) as client:
        assert client.model().id == "fake"


RESULT = {
    "label": "joy",
    "probabilities": {"joy": 1.0},
    "mode": "fast",
    "status": "ok",
    "reasoning": None,
    "reasoning_status": None,
    "disagrees": None,
    "evidence": None,
    "error": None,
    "seconds": 0.0,
}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


def told(name, data):
    return f"event: {name}\ndata: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.fixture
def answering():
    """Return a function that starts a server which sends these bytes to whoever asks, and returns its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def start(answer, pause=0.0):
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)
                        time.sleep(pause)

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    listener.close()


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + chunk(told("reasoning", {"index": 0, "draft": 1, "delta": "x"})),
        CHUNKED + chunk(told("result", RESULT)) + b"nonsense",
        CHUNKED + chunk(told("reasoning", "no JSON")) + b"0\r\n\r\n",
        CHUNKED + chunk(told("reasoning", {"delta": "x"})) + b"0\r\n\r\n",
        CHUNKED + chunk(told("result", {"label": "x"})) + b"0\r\n\r\n",
        CHUNKED + chunk(told("result", "[]")) + b"0\r\n\r\n",
        CHUNKED + chunk(told("error", {"error": None})) + b"0\r\n\r\n",
        CHUNKED + chunk(told("result", RESULT)) + b"0\r\n\r\n",
        HEAD + b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd",
        HEAD + b"content-length: 400\r\n\r\nabcd",
    ],
)
def test_a_stream_that_breaks_off_or_is_none_is_an_error_of_ours(answering, answer):
    with Client(answering(answer), retries=0) as client, pytest.raises(ServerError):
        list(client.stream("x"))


def test_a_stream_that_falls_silent_is_an_error_of_ours(answering):
    url = answering(CHUNKED + chunk(told("reasoning", {"index": 0, "draft": 1, "delta": "x"})), pause=5)
    with Client(url, retries=0, timeout=0.3) as client, pytest.raises(ServerError, match="too long"):
        list(client.stream("x"))


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"data": []}', b'{"data": [1]}', b'{"data": [{}, {}]}', b"no JSON", b"\x1f\x8b"]
)
def test_an_answer_of_another_form_is_an_error_of_ours(answering, body):
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    with Client(answering(head + body), retries=0) as client:
        for ask in (client.model, lambda: client.classify("x"), lambda: list(client.classify_all(["x"]))):
            with pytest.raises(ServerError):
                ask()
