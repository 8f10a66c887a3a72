"""The page's files, what protects them, and the routes of runs without a browser."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import whylabel.page
from finished_run import EMOTIONS
from serving_servers import start_fake
from whylabel.evaluation.readings import read_readings
from whylabel.reasonings.store import open_store

STATIC = Path(whylabel.page.__file__).parent / "static"
KEY = "a-key-of-the-tests-0123456789"


@pytest.fixture(scope="module")
def fake():
    """A server without a run."""
    server = start_fake()
    yield server
    server.process.kill()
    server.process.wait()


def get(server, path, **query):
    answer = server.client.get(f"/v1/runs/fake/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def decide(server, row, verdict, by="Ada", **more):
    body = {"by": by, "row": row["row"], "reasoning_hash": row["reasoning_hash"], "known": row["known"]}
    return server.client.post("/v1/runs/fake/decisions", json={**body, "verdict": verdict, **more})


def read(server, row_id, verdict, by="Ada", **more):
    body = {"by": by, "id": row_id, "verdict": verdict, **more}
    return server.client.post("/v1/runs/fake/readings", json=body)


# -- the page -------------------------------------------------------------------------------------------------


def test_the_page_and_its_files_come_from_this_server_alone(fake):
    page = fake.client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    parts = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    parts += [
        f"page/{name}"
        for path in STATIC.glob("*.js")
        for name in re.findall(r'from "\./(.*?)"', path.read_text())
    ]
    assert len(parts) > 10
    for part in parts:
        answer = fake.client.get(f"/{part}")
        assert answer.status_code == 200 and answer.content, part
    for path in STATIC.iterdir():
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text()), path


def test_no_script_and_no_style_stands_in_the_page(fake):
    page = fake.client.get("/")
    assert re.findall(r"<script[^>]*>(.*?)</script>", page.text, re.DOTALL) == [""]
    assert "<style" not in page.text and not re.findall(r"\s(?:style|on\w+)=", page.text)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    for path in STATIC.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text()
        )


@pytest.mark.parametrize(
    "path", ["/page/../page.py", "/page/%2e%2e/page.py", "/page/none.js", "/page/", "/page//main.js"]
)
def test_no_other_file_is_served(fake, path):
    assert fake.client.get(path).status_code == 404


def test_a_script_has_its_type_whatever_the_system_thinks(fake):
    assert fake.client.get("/page/main.js").headers["content-type"].startswith("text/javascript")


def test_what_a_run_holds_needs_the_key(run, serve_run):
    server = serve_run(run, keys=[KEY])
    open_paths = ["/", "/page/main.js"]
    closed = [
        "/v1/page",
        "/v1/runs/fake/predictions",
        "/v1/runs/fake/reasonings?by=A",
        "/v1/runs/fake/readings?by=A",
    ]
    for path in open_paths:
        assert server.client.get(path).status_code == 200
    for path in closed:
        assert server.client.get(path).status_code == 401
        assert server.client.get(path, headers={"authorization": f"Bearer {KEY}"}).status_code == 200
        assert server.client.get(path, headers={"host": "evil.example"}).status_code == 400
    for path in ("decisions", "readings", "report"):
        assert server.client.post(f"/v1/runs/fake/{path}", json={}).status_code == 401


def test_without_a_run_there_is_none(fake):
    assert fake.client.get("/v1/page").json()["runs"] == []
    for path in ("predictions", "reasonings?by=A", "readings?by=A"):
        assert fake.client.get(f"/v1/runs/fake/{path}").status_code == 404


def test_what_there_is_of_a_run(served_run):
    (found,) = served_run.client.get("/v1/page").json()["runs"]
    assert found == {"name": "fake", "predictions": True, "reasonings": True, "report": False}


# -- errors ---------------------------------------------------------------------------------------------------


def test_predictions_are_filtered_and_paged(served_run):
    everything = get(served_run, "predictions", model="classifier", mode="reasoned", limit=100)
    assert everything["found"] == 180 and len(everything["data"]) == 100
    assert everything["models"]["classifier"] == ["reasoned", "fast"]
    assert {"baseline", "tfidf"} < set(everything["models"])
    assert everything["labels"] == list(EMOTIONS)
    rest = get(served_run, "predictions", model="classifier", mode="reasoned", limit=100, offset=100)
    assert len(rest["data"]) == 80
    rows = everything["data"] + rest["data"]
    assert len({row["id"] for row in rows}) == 180
    wrong = get(served_run, "predictions", model="classifier", mode="reasoned", answer="wrong", limit=100)
    assert wrong["found"] == sum(not row["right"] for row in rows)
    joy = get(served_run, "predictions", model="classifier", mode="reasoned", gold="joy", label="fear")
    assert [row["id"] for row in joy["data"]] == [
        row["id"] for row in rows if (row["gold"], row["label"]) == ("joy", "fear")
    ]
    withheld = get(served_run, "predictions", model="classifier", mode="reasoned", reasoning="withheld")
    assert withheld["found"] == 36 and all("withheld" in row["reasoning_status"] for row in withheld["data"])


def test_every_word_of_a_search_is_found(served_run):
    found = get(served_run, "predictions", mode="reasoned", search="KETTLE points lingers")
    assert found["found"] == 180
    assert get(served_run, "predictions", mode="reasoned", search="kettle nowhere")["found"] == 0
    assert get(served_run, "predictions", mode="reasoned", search="(.*")["found"] == 0


@pytest.mark.parametrize(
    "query",
    [{"limit": 101}, {"limit": 0}, {"offset": -1}, {"answer": "x"}, {"search": "x" * 501}, {"other": "x"}],
)
def test_what_is_asked_for_is_limited(served_run, query):
    assert served_run.client.get("/v1/runs/fake/predictions", params=query).status_code == 422


def test_a_damaged_file_is_said_without_its_path(run, serve_run):
    run.predictions.write_bytes(b"PAR1 nothing")
    answer = serve_run(run).client.get("/v1/runs/fake/predictions")
    assert answer.status_code == 409 and "cannot be read" in answer.json()["error"]["message"]
    assert str(run.path) not in answer.text


# -- review ---------------------------------------------------------------------------------------------------


def decisions(run):
    with open_store(run.store) as store:
        return [each for history in store.all_decisions().values() for each in history]


def test_a_decision_goes_to_the_store_with_who_and_when(run, served_run):
    dealt = get(served_run, "reasonings", by="Ada")
    row = dealt["data"][0]
    answer = decide(served_run, row, "accepted", note="good").json()
    assert answer["row"]["decision"]["by"] == "Ada" and answer["row"]["known"] == 1
    assert answer["progress"]["mine"]["share"] == 1 and answer["progress"]["mine"]["ci95"][
        0
    ] == pytest.approx(0.2065, abs=1e-3)
    (kept,) = decisions(run)
    assert (kept.row, kept.verdict, kept.decided_by, kept.note) == (row["row"], "accepted", "Ada", "good")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", kept.decided_at)
    left = get(served_run, "reasonings", by="Ada", limit=100)
    assert left["found"] == dealt["found"] - 1 and row["row"] not in {each["row"] for each in left["data"]}
    assert [each["row"] for each in get(served_run, "reasonings", by="Ada", which="decided")["data"]] == [
        row["row"]
    ]


def test_an_edit_is_kept_and_undone(run, served_run):
    row = get(served_run, "reasonings", by="Ada", state="dropped")["data"][0]
    assert row["reason"] in ("unfinished", "copy")
    edited = decide(served_run, row, "edited", reasoning="better words").json()["row"]
    assert edited["decision"]["reasoning"] == "better words"
    undone = decide(served_run, edited, "cleared").json()["row"]
    assert undone["decision"] is None and undone["known"] == 2
    assert [each.verdict for each in decisions(run)] == ["edited", "cleared"]
    assert decide(served_run, undone, "edited", reasoning=" ").status_code == 422
    assert decide(served_run, undone, "edited", reasoning="a\0b").status_code == 422


def test_a_decision_has_an_author(run, served_run):
    row = get(served_run, "reasonings", by="Ada")["data"][0]
    assert decide(served_run, row, "accepted", by=" ").status_code == 422
    assert read(served_run, "r0", "accepted", by="").status_code == 422
    assert not decisions(run)


def test_who_has_not_seen_the_latest_decision_overwrites_nothing(run, served_run):
    row = get(served_run, "reasonings", by="Ada")["data"][0]
    assert decide(served_run, row, "rejected", by="Ben").status_code == 200
    answer = decide(served_run, row, "accepted", by="Ada")
    assert answer.status_code == 409
    assert answer.json()["row"]["decision"]["by"] == "Ben" and "Ben" in answer.json()["error"]["message"]
    assert [each.decided_by for each in decisions(run)] == ["Ben"]
    assert decide(served_run, answer.json()["row"], "accepted", by="Ada").status_code == 200


def test_a_decision_on_a_reasoning_that_is_no_more_is_refused(run, served_run):
    row = get(served_run, "reasonings", by="Ada")["data"][0]
    assert decide(served_run, {**row, "reasoning_hash": "r00000000-0000"}, "accepted").status_code == 409
    assert decide(served_run, {**row, "row": "0" * 32}, "accepted").status_code == 404
    assert not decisions(run)


def test_many_people_at_once_lose_nothing(run, served_run):
    rows = {by: get(served_run, "reasonings", by=by, limit=30)["data"] for by in ("Ada", "Ben", "Cid", "Dee")}
    assert len({tuple(row["row"] for row in dealt) for dealt in rows.values()}) == 4

    def review(by):
        return [decide(served_run, row, "accepted", by=by).status_code for row in rows[by]]

    with ThreadPoolExecutor(4) as pool:
        codes = [code for found in pool.map(review, rows) for code in found]
    assert set(codes) <= {200, 409} and len(codes) == 120
    # Every row was decided once: who came second was told.
    assert codes.count(200) == len(decisions(run)) == 30


def test_a_run_that_another_process_uses_waits_and_then_says_so(run, served_run):
    row = get(served_run, "reasonings", by="Ada")["data"][0]
    with run.locked():
        answer = decide(served_run, row, "accepted")
    assert answer.status_code == 503 and "retry-after" in answer.headers
    assert decide(served_run, row, "accepted").status_code == 200


def test_readings_are_kept_by_reader_and_can_be_taken_back(run, served_run):
    blind = get(served_run, "readings", by="Ada", limit=3)
    assert blind["accepted"] is None and blind["data"][0]["gold"] is None
    first = get(served_run, "readings", by="Ada", blind="no", limit=1)["data"][0]
    assert first["gold"] and first["probabilities"] and first["id"] == blind["data"][0]["id"]
    assert read(served_run, first["id"], "accepted", reason=" clear ").json()["accepted"]["n"] == 1
    assert read(served_run, blind["data"][1]["id"], "rejected").json()["accepted"]["share"] == 0.5
    assert read(served_run, first["id"], "rejected", by="Ben").json()["accepted"]["n"] == 1
    found = {(each.id, each.by): each for each in read_readings(run)}
    assert len(found) == 3 and found[first["id"], "Ada"].reason == "clear" and found[first["id"], "Ada"].blind
    assert read(served_run, first["id"], "cleared").json()["accepted"]["n"] == 1
    assert {(each.id, each.by) for each in read_readings(run)} == {
        (blind["data"][1]["id"], "Ada"),
        (first["id"], "Ben"),
    }
    assert get(served_run, "readings", by="Ada")["found"] == blind["found"] - 1
    assert read(served_run, "r0000000000000000", "accepted").status_code == 404


# -- the report -----------------------------------------------------------------------------------------------


def test_the_report_is_opened_with_a_ticket_that_ends(run, serve_run):
    from whylabel.report.report import write_report

    write_report(run)
    server = serve_run(run, keys=[KEY])
    with_key = {"authorization": f"Bearer {KEY}"}
    assert server.client.post("/v1/runs/fake/report").status_code == 401
    url = server.client.post("/v1/runs/fake/report", headers=with_key).json()["url"]
    answer = server.client.get(f"/{url}")
    assert answer.status_code == 200 and "whylabel report" in answer.text
    assert "sandbox" in answer.headers["content-security-policy"]
    name, until, signed = url.removeprefix("page/report/").split("-")
    for ticket in (
        f"{name}-{int(until) + 60}-{signed}",
        f"{name}-{until}-{'0' * 64}",
        "x",
        "x-y-z",
        f"{name}-1-{signed}",
    ):
        assert server.client.get(f"/page/report/{ticket}").status_code == 404


def test_the_report_has_what_people_read_since(run, serve_run):
    from whylabel.report.report import write_report

    write_report(run)
    server = serve_run(run)
    row = get(server, "readings", by="Ada", limit=1)["data"][0]
    assert read(server, row["id"], "accepted").status_code == 200
    url = server.client.post("/v1/runs/fake/report").json()["url"]
    assert "Ada" in server.client.get(f"/{url}").text
