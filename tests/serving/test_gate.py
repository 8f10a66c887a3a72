"""Who may ask, and what the log says of it."""

import re

import httpx2
import pytest

KEY = "a-key-of-the-tests-0123456789"


@pytest.fixture(scope="module")
def keyed():
    from serving_servers import start_fake

    server = start_fake(keys=["another-key-0123456789", KEY])
    yield server
    server.process.kill()
    server.process.wait()


def routes(server):
    """Return every (method, path) of the API, with a value for each part of a path that is free."""
    paths = server.client.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), re.sub(r"\{\w+\}", "fake", path))
        for path, methods in paths.items()
        for method in methods
    ]


def test_every_route_but_health_and_its_description_needs_the_key(keyed):
    found = routes(keyed)
    assert ("POST", "/v1/classify") in found and ("GET", "/v1/models/fake") in found
    for method, path in [*found, ("GET", "/nowhere")]:
        is_open = path in ("/healthz", "/readyz")
        for key in (None, "wrong", KEY[:-1], KEY + "x"):
            headers = {} if key is None else {"authorization": f"Bearer {key}"}
            answer = keyed.client.request(method, path, headers=headers)
            assert (answer.status_code == 401) != is_open, (method, path, key)
        answer = keyed.client.request(method, path, headers={"authorization": f"Bearer {KEY}"})
        assert answer.status_code != 401


@pytest.mark.parametrize("scheme", ["bearer", "Bearer", "BEARER"])
def test_any_of_the_keys_opens(keyed, scheme):
    for key in (KEY, "another-key-0123456789"):
        answer = keyed.client.get("/v1/models", headers={"authorization": f"{scheme} {key}"})
        assert answer.status_code == 200


@pytest.mark.parametrize("value", [KEY, f"Basic {KEY}", "Bearer", f"Bearer {KEY} {KEY}", "Bearer ä", ""])
def test_other_forms_of_the_header_do_not(keyed, value):
    answer = keyed.client.get("/v1/models", headers={"authorization": value.encode()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:80", 200),
        ("LOCALHOST", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1@evil.example", 400),
        ("", 400),
    ],
)
def test_only_own_host_names_are_served(fake, host, status):
    assert fake.client.get("/healthz", headers={"host": host}).status_code == status


def test_a_host_name_can_be_allowed(serve_fake):
    server = serve_fake(allowed_hosts=["API.example:8443", "fe80::1"])
    for host in ("api.example:443", "[fe80::1]:80"):
        assert server.client.get("/healthz", headers={"host": host}).status_code == 200
    assert server.client.get("/healthz", headers={"host": "other.example"}).status_code == 400


def test_no_other_origin_is_let_in(fake):
    answer = fake.client.post("/v1/classify", json={"input": "x"}, headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert fake.client.options("/v1/classify", headers={"origin": "https://evil.example"}).status_code == 405


def test_a_text_given_as_a_form_is_no_request(fake):
    # A page of another origin may send forms and plain text without asking first.
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = fake.client.post("/v1/classify", content=b'{"input": "x"}', headers={"content-type": kind})
        assert answer.status_code == 422


def test_the_log_has_ids_and_no_texts(serve_fake):
    server = serve_fake()
    secret = "a very private text"
    server.client.post("/v1/classify", json={"input": secret}, headers={"x-request-id": "mine.1"})
    server.client.post("/v1/classify", json={"input": [secret] * 100})
    server.client.post("/v1/classify", json={secret: secret})
    server.client.post(f"/v1/{secret}", headers={"x-request-id": f"no id: {secret}"})
    httpx2.get(f"{server.url}/v1/models", params={"q": secret})
    assert server.stop() == 0
    first, *others = server.events("request")
    assert first["request_id"] == "mine.1"
    assert (first["route"], first["status"], first["texts"], first["mode"]) == (
        "/v1/classify",
        200,
        1,
        "fast",
    )
    assert [line["status"] for line in others] == [422, 422, 404, 200]
    assert len({line["request_id"] for line in others}) == 4
    assert secret not in str(server.log) + str(server.said)
