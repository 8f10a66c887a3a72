"""`/docs` works without the network."""

import re


def test_the_page_and_its_parts_come_from_this_server(fake):
    page = fake.client.get("/docs").text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(parts) == 4
    for part in parts:
        assert part.startswith("docs/")
        answer = fake.client.get(f"/{part}")
        assert answer.status_code == 200 and len(answer.content) > 100
    assert "openapi.json" in fake.client.get("/docs/start.js").text
    assert not re.findall(r"https?://", page)


def test_only_its_own_files_are_served(fake):
    for path in ("/docs/../app.py", "/docs/%2e%2e/app.py", "/docs/..%2fapp.py", "/docs/none.js"):
        assert fake.client.get(path).status_code == 404


def test_every_route_is_described(fake):
    paths = fake.client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/v1/classify",
        "/v1/decisions",
        "/v1/systemone",
        "/predict",
        "/v1/models",
        "/v1/models/{model_id}",
        "/v1/labels",
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/page",
        "/v1/runs/{name}/predictions",
        "/v1/runs/{name}/reasonings",
        "/v1/runs/{name}/decisions",
        "/v1/runs/{name}/readings",
        "/v1/runs/{name}/report",
    }
    for methods in paths.values():
        for described in methods.values():
            assert described["summary"] and described["description"]
            reply = described["responses"]["200"]["content"]
            assert "text/plain" in reply or reply["application/json"]["schema"]


def test_fields_are_explained(fake):
    schemas = fake.client.get("/openapi.json").json()["components"]["schemas"]
    request = schemas["ClassifyRequest"]["properties"]
    assert all(field.get("description") for field in request.values())
    assert request["top_k"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 2**31}
    assert "abstained" in schemas["Classified"]["properties"]["status"]["enum"]
