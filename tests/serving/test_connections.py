"""What a hostile or broken client can send down a socket: the server answers or hangs up, and goes on."""

import contextlib
import json
import random
import socket
import threading
import time

import httpx2
import psutil
import pytest

from whylabel.serving.server import _listen

BODY = b'{"input": "x"}'
HEAD = b"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def connect(server):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.settimeout(10)
    return connection


def exchange(server, data, *, half_close=False):
    """Return what the server answers to some bytes until it hangs up, or for a second."""
    with connect(server) as connection:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(1.5)
        found = b""
        try:
            while piece := connection.recv(65536):
                found += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return found


def request(body=BODY, *headers):
    lines = b"".join(header + b"\r\n" for header in headers)
    return HEAD + lines + b"content-length: %d\r\n\r\n" % len(body) + body


@pytest.fixture
def hurried(serve_fake):
    return serve_fake(header_timeout=0.7, body_timeout=0.7)


@pytest.mark.parametrize(
    ("data", "start"),
    [
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /healthz HTTP/9.9\r\n\r\n", b"HTTP/1.1 400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"HTTP/1.1 400"),
        (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /" + b"y" * 200_000, b"HTTP/1.1 400"),
        (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n", b"HTTP/1.1 400"),
        (request(b"", b"content-length: 5"), b"HTTP/1.1 400"),
        (HEAD + b"content-length: -1\r\n\r\n", b"HTTP/1.1 400"),
        (HEAD + b"content-length: 99999999999999\r\n\r\n" + BODY, b"HTTP/1.1 413"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\n", b"HTTP/1.1 400"),
        (HEAD + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", b"HTTP/1.1 4"),
        (request(b'{"input": "\xff"}'), b"HTTP/1.1 400"),
        (request(b'{"input": "\\udc00"}'), b"HTTP/1.1 422"),
        (request(b'{"input": NaN}'), b"HTTP/1.1 422"),
        (request(b'{"input": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"), b"HTTP/1.1 4"),
        (request(b'{"top_k": ' + b"9" * 5_000 + b"}"), b"HTTP/1.1 4"),
        (request(b'{"top_k": 1e999, "input": "x"}'), b"HTTP/1.1 422"),
        (request(b'{"input": "a", "input": "b"}'), b"HTTP/1.1 200"),
        (b"GET /v1/labels HTTP/1.0\r\n\r\n", b"HTTP/1.1 400"),
        (b"TRACE /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", b"HTTP/1.1 405"),
        (
            b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            b"HTTP/1.1 200",
        ),
    ],
)
def test_bytes_that_are_no_good_request(fake, data, start):
    assert exchange(fake, data).startswith(start)
    assert fake.classify("x").status_code == 200


def test_a_body_without_end_is_cut_off(fake):
    with connect(fake) as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        sent = 0
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while sent < 64 * 2**20:
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
    assert sent < 16 * 2**20
    assert fake.classify("x").status_code == 200


def wait_until_closed(connection):
    """Read until the server hangs up; `TimeoutError` if it never does."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(4096):
            pass


def test_a_connection_that_says_nothing_is_closed(hurried):
    with connect(hurried) as connection:
        wait_until_closed(connection)


def test_headers_that_trickle_in_are_cut_off(hurried):
    with connect(hurried) as connection, pytest.raises((BrokenPipeError, ConnectionResetError)):
        for byte in HEAD * 10:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)


def test_a_body_that_trickles_in_is_cut_off(hurried):
    with connect(hurried) as connection:
        connection.sendall(HEAD + b"content-length: 1000\r\n\r\n{")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(998):
                connection.sendall(b" ")
                time.sleep(0.05)


def test_the_second_request_of_a_connection_has_its_own_time(hurried):
    with connect(hurried) as connection:
        for _ in range(3):
            connection.sendall(request())
            found = b""
            while not found.endswith(b"}"):
                found += connection.recv(65536)
            assert b"200 OK" in found
            # Between requests a connection may rest.
            time.sleep(1.0)
        connection.sendall(HEAD)
        wait_until_closed(connection)


def test_a_connection_whose_body_comes_after_the_answer_may_not_rest_for_ever(serve_fake):
    server = serve_fake(header_timeout=0.7, body_timeout=0.7, keep_alive_timeout=0.7)
    with connect(server) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
        connection.sendall(b"12345")
        wait_until_closed(connection)


def test_a_connection_whose_body_never_comes_is_closed_whatever_was_answered(hurried):
    for head in (b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\n", HEAD):
        with connect(hurried) as connection:
            connection.sendall(head + b"content-length: 5\r\n\r\n")
            wait_until_closed(connection)


def deaf(server, data):
    """Return a connection that sends and never reads, with hardly any room for what it is sent."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(data)
    return connection


def connections_to(server):
    return len(psutil.Process(server.process.pid).net_connections("tcp")) - 1


def until(condition, seconds=8):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_client_that_does_not_read_its_stream_loses_its_place(serve_fake):
    server = serve_fake(max_queue=1, write_timeout=0.7)
    body = b'{"input": "flood 300", "stream": true}'
    with deaf(server, request(body)):
        until(lambda: server.classify("x").status_code == 429)
        until(lambda: server.classify("x").status_code == 200)


@pytest.mark.parametrize("count", [1, 8])
def test_a_client_that_does_not_read_its_answer_loses_its_connection(serve_fake, count):
    server = serve_fake(write_timeout=0.7, keep_alive_timeout=0.7)
    server.client.close()
    until(lambda: connections_to(server) == 0)
    data = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with deaf(server, data * count):
        until(lambda: connections_to(server) == 1)
        until(lambda: connections_to(server) == 0)


def test_a_client_that_reads_slowly_gets_all(serve_fake):
    server = serve_fake(write_timeout=1.0)
    data = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    found = 0
    with deaf(server, data) as connection:
        connection.settimeout(5)
        while piece := connection.recv(65536):
            found += len(piece)
            time.sleep(0.0005)
    assert found > 1_000_000


def test_an_answer_may_take_longer_than_a_request(hurried):
    assert hurried.classify("sleep 2").status_code == 200


def test_many_slow_connections_do_not_keep_others_out(hurried):
    held = [connect(hurried) for _ in range(100)]
    for connection in held:
        connection.sendall(b"GET / HTTP/1.1\r\n")
    assert hurried.classify("x").status_code == 200
    for connection in held:
        wait_until_closed(connection)
        connection.close()


def test_connections_beyond_the_limit_are_turned_away(serve_fake):
    server = serve_fake(max_connections=4)
    server.client.close()
    time.sleep(0.3)
    held = [connect(server) for _ in range(4)]
    time.sleep(0.2)
    found = exchange(server, b"")
    assert found.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in found
    for connection in held:
        connection.close()
    time.sleep(0.3)
    assert httpx2.get(f"{server.url}/healthz").status_code == 200


def test_requests_in_a_row_without_waiting_are_answered_in_order(fake):
    texts = [f"pipelined {number}" for number in range(20)]
    data = b"".join(request(json.dumps({"input": text}).encode()) for text in texts)
    found = exchange(fake, data)
    assert found.count(b"HTTP/1.1 200") == 20
    places = [found.index(b'"reasoning":"%s"' % text.encode()) for text in texts]
    assert places == sorted(places)


def test_half_a_connection_counts_as_a_client_that_went_away(fake):
    before = int(fake.classify("count").json()["data"][0]["reasoning"])
    exchange(fake, request(b'{"input": "sleep 20"}'), half_close=True)
    deadline = time.monotonic() + 5
    while int(fake.classify("count").json()["data"][0]["reasoning"]) == before:
        assert time.monotonic() < deadline


def storm(server, clients, seconds, share_of_disconnects=0.2):
    """Let clients ask, and go away at random; return how many answers there were. Each belongs to its request."""
    answers, wrong = [], []
    end = time.monotonic() + seconds

    def client(number):
        chance = random.Random(number)
        with httpx2.Client(base_url=server.url) as connection:
            for count in range(10**6):
                if time.monotonic() > end:
                    return
                words = " ".join(f"{number}-{count}-{place}" for place in range(3))
                kind = chance.choice(["", "sleep 0.02 ", "sleep 0.1 "])
                texts = [f"{kind}{words} text {place}" for place in range(chance.choice([1, 1, 3]))]
                goes = chance.random() < share_of_disconnects
                try:
                    body = {"input": [f"sleep 5 {text}" for text in texts] if goes else texts}
                    answer = connection.post("/v1/classify", json=body, timeout=0.05 if goes else 30)
                except httpx2.TimeoutException:
                    assert goes
                    continue
                if answer.status_code == 429:
                    time.sleep(0.05)
                    continue
                found = [row["reasoning"] for row in answer.json()["data"]]
                answers.append(len(found))
                if found != texts:
                    wrong.append((texts, found))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    deadline = time.monotonic() + 5
    while "whylabel_queue_depth 0.0" not in server.client.get("/metrics").text:
        assert time.monotonic() < deadline, "places stayed taken"
        time.sleep(0.1)
    assert not server.events("error")
    return len(answers)


def test_clients_that_go_away_at_random_do_not_mix_up_answers(serve_fake):
    assert storm(serve_fake(), clients=16, seconds=4)


@pytest.mark.slow
def test_64_clients_for_a_minute(serve_fake):
    server = serve_fake(max_queue=1024)
    storm(server, clients=64, seconds=10)
    before = psutil.Process(server.process.pid).memory_info().rss
    assert storm(server, clients=64, seconds=60)
    assert psutil.Process(server.process.pid).memory_info().rss < 1.2 * before


def test_small_answers_are_sent_at_once():
    # Head and body are written one after the other; waiting for an acknowledgement between them takes 40 ms. asyncio
    # does not wait (TCP_NODELAY) where a socket says that it is TCP.
    with _listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
