"""Server-sent events: what is written, as it is written."""

import json
import time

import httpx2
import pytest

from whylabel.serving import streaming

TEXT = "It was a grey day, number 4"


def read(lines):
    """Yield (event, data) of a stream."""
    name = None
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def stream(server, **body):
    with server.client.stream("POST", "/v1/classify", json={"stream": True, **body}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield from read(answer.iter_lines())


def test_the_deltas_are_the_reasoning_and_the_result_is_that_of_an_ordinary_answer(served):
    fields = {"mode": "reasoned", "show_all": True, "include": ["reasoning", "probabilities", "evidence"]}
    (wanted,) = served.classify(TEXT, **fields).json()["data"]
    found = list(stream(served, input=TEXT, **fields))
    assert [name for name, _ in found[-2:]] == ["result", "done"]
    deltas = [data for name, data in found if name == "reasoning"]
    assert len(deltas) > 2
    assert {data["index"] for data in deltas} == {0}
    assert "".join(data["delta"] for data in deltas) == wanted["reasoning"]
    result = dict(found)["result"]
    assert {**result, "seconds": 0} == {
        **wanted,
        "seconds": 0,
        "probs": pytest.approx(wanted["probs"], abs=1e-5),
        "probabilities": pytest.approx(wanted["probabilities"], abs=1e-5),
        "evidence": result["evidence"],
    }
    assert result["evidence"]
    assert dict(found)["done"]["usage"]["texts"] == 1


def test_every_text_gets_its_own_events(served):
    found = list(stream(served, input=[TEXT, " ", TEXT], mode="reasoned"))
    results = {data["index"]: data for name, data in found if name == "result"}
    assert sorted(results) == [0, 1, 2]
    assert results[1]["error"] == "the text is blank"
    assert {data["index"] for name, data in found if name == "reasoning"} == {0, 2}


def test_a_mode_without_a_reasoning_streams_its_result(served):
    assert [name for name, _ in stream(served, input=TEXT, mode="fast")] == ["result", "done"]


def test_reasonings_that_are_not_wanted_are_not_streamed(served):
    found = list(stream(served, input=TEXT, mode="reasoned", include=[]))
    assert [name for name, _ in found] == ["result", "done"]
    assert found[0][1]["reasoning"] is None


def test_words_come_as_they_are_written(fake):
    found = stream(fake, input="stream 20")
    assert next(found)[0] == "reasoning"
    # The text is not answered yet.
    assert "whylabel_queue_depth 1.0" in fake.client.get("/metrics").text
    assert [name for name, _ in found].count("reasoning") == 19


def test_a_refusal_is_no_stream(fake):
    assert fake.classify("x", stream=True, mode="blend").status_code == 422


def test_a_reader_that_goes_away_frees_its_place(serve_fake):
    server = serve_fake(max_queue=1)
    body = {"input": "stream 500", "stream": True}
    with (
        httpx2.Client(base_url=server.url) as client,
        client.stream("POST", "/v1/classify", json=body) as answer,
    ):
        next(read(answer.iter_lines()))
    deadline = time.monotonic() + 5
    while server.classify("count").status_code == 429:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert server.classify("count").json()["data"][0]["reasoning"] == "1"


def test_a_deadline_ends_a_stream_with_an_error(serve_fake):
    server = serve_fake(timeout=0.6)
    found = list(stream(server, input=["stream 100", "x"]))
    assert found[-1][0] == "error"
    assert found[-1][1]["error"]["code"] == 504
    assert any(name == "result" and data["index"] == 1 for name, data in found)


def test_a_lost_engine_ends_a_stream_with_an_error(serve_fake):
    import os
    import signal

    server = serve_fake()
    found = stream(server, input="stream 100")
    next(found)
    os.kill(server.engine_pid(), signal.SIGKILL)
    name, data = list(found)[-1]
    assert (name, data["error"]["code"]) == ("error", 503)


def test_a_silent_stream_is_kept_alive(monkeypatch):
    import asyncio

    from whylabel.serving.process import Answered, Asked

    monkeypatch.setattr(streaming, "PING_SECONDS", 0.05)

    async def collect():
        asked = Asked(None, {1: 0}, 1)
        asyncio.get_running_loop().call_later(0.18, asked.happened.put_nowait, Answered(0, None))
        found = streaming.events(
            asked, time.monotonic() + 5, lambda answered: {"index": answered.index}, dict
        )
        return [piece async for piece in found]

    pieces = asyncio.run(collect())
    assert pieces[:3] == [b": still working\n\n"] * 3
    assert pieces[-2:] == [b'event: result\ndata: {"index":0}\n\n', b"event: done\ndata: {}\n\n"]


def test_a_stream_that_is_left_leaves_nothing_behind(monkeypatch):
    import asyncio

    from whylabel.serving.process import Asked

    monkeypatch.setattr(streaming, "PING_SECONDS", 0.02)

    async def leave():
        found = streaming.events(Asked(None, {1: 0}, 1), time.monotonic() + 5, dict, dict)
        await anext(found)
        await found.aclose()
        await asyncio.sleep(0.05)
        return len(asyncio.all_tasks())

    assert asyncio.run(leave()) == 1
