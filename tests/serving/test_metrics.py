"""The figures say what happened, and have no text in them."""

from prometheus_client.parser import text_string_to_metric_families


def figures(server):
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_figures(serve_fake):
    server = serve_fake(timeout=1.0)
    server.classify(["one private text", "fail"])
    server.classify("x", mode="reasoned")
    server.classify("x", mode="blend")
    server.classify("sleep 30")
    with server.client.stream("POST", "/v1/classify", json={"input": "stream 4", "stream": True}) as answer:
        answer.read()
    server.client.get("/private/path")
    found = figures(server)
    route = ("route", "/v1/classify")
    assert found["whylabel_requests_total", route, ("status", "200")] == 3
    assert found["whylabel_requests_total", route, ("status", "422")] == 1
    assert found["whylabel_requests_total", route, ("status", "504")] == 1
    assert found["whylabel_request_duration_seconds_count", route] == 5
    assert found["whylabel_cancelled_total", ("cause", "deadline")] == 1
    key = ("whylabel_predictions_total", ("label", "joy"))
    assert found[(*key, ("mode", "fast"), ("status", "ok"))] == 2
    assert found[(*key, ("mode", "reasoned"), ("status", "ok"))] == 1
    assert found["whylabel_predictions_total", ("label", ""), ("mode", "fast"), ("status", "failed")] == 1
    assert found["whylabel_time_to_first_token_seconds_count",] == 1
    assert 0.03 < found["whylabel_time_to_first_token_seconds_sum",] < 0.5
    assert found["whylabel_queue_wait_seconds_count",] == 3
    assert found["whylabel_step_seconds_count",] > 0
    assert found["whylabel_queue_depth",] == 0
    assert "private" not in server.client.get("/metrics").text


def test_lost_engines_and_clients_are_counted(serve_fake):
    import contextlib

    import httpx2

    server = serve_fake()
    server.classify("die")
    while server.client.get("/readyz").status_code != 200:
        pass
    with contextlib.suppress(httpx2.TimeoutException):
        server.client.post("/v1/classify", json={"input": "sleep 30"}, timeout=0.3)
    for _ in range(100):
        found = figures(server)
        if found.get(("whylabel_cancelled_total", ("cause", "client_gone"))):
            break
    assert found["whylabel_engine_lost_total",] == 1
    assert found["whylabel_cancelled_total", ("cause", "client_gone")] == 1
    assert ("whylabel_cancelled_total", ("cause", "deadline")) not in found
