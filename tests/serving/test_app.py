"""The routes over a real model, and their refusals."""

import pytest

from whylabel.serving.schemas import ClassifyResponse, Labels, Models
from whylabel.types import Prediction

TEXTS = [f"It was a {word} day, number {number}" for number, word in enumerate(("bright", "grey", "black"))]


def test_answers_are_those_of_predict(served, dual_model):
    model, _ = dual_model
    for mode in ("fast", "reasoned", "blend", "adaptive"):
        expected = model.predict(
            [(str(place), text) for place, text in enumerate(TEXTS)], mode, show_all=True
        )
        answer = served.classify(TEXTS, mode=mode, show_all=True)
        assert answer.status_code == 200
        for place, (found, wanted) in enumerate(zip(answer.json()["data"], expected, strict=True)):
            assert isinstance(wanted, Prediction)
            assert (found["index"], found["label"], found["mode"]) == (place, wanted.label, mode)
            assert found["probs"] == pytest.approx(wanted.probabilities, abs=1e-5)
            assert found["reasoning"] == wanted.reasoning
            assert (found["status"], found["reasoning_status"]) == (wanted.status, wanted.reasoning_status)
            assert found["disagrees"] == wanted.disagrees


def test_evidence_is_that_of_predict(served, dual_model):
    model, _ = dual_model
    for mode in ("fast", "reasoned"):
        (wanted,) = model.predict([("1", TEXTS[1])], mode, evidence=True)
        (found,) = served.classify(TEXTS[1], mode=mode, include=["evidence"]).json()["data"]
        assert [one["text"] for one in found["evidence"]] == [one.text for one in wanted.evidence]
        assert [one["effect"] for one in found["evidence"]] == pytest.approx(
            [one.effect for one in wanted.evidence], abs=1e-4
        )


def test_the_same_text_is_answered_alike_by_vote(served):
    first = served.classify(TEXTS[0], mode="vote").json()["data"][0]
    again = served.classify([TEXTS[1], TEXTS[0]], mode="vote").json()["data"][1]
    assert again["probs"] == pytest.approx(first["probs"], abs=1e-5)


def test_an_answer_has_the_documented_form(served):
    answer = served.classify(
        TEXTS, mode="reasoned", top_k=2, include=["reasoning", "probabilities", "evidence"]
    )
    body = ClassifyResponse.model_validate(answer.json(), strict=False)
    assert body.model == "tiny" and body.usage.texts == 3 and body.usage.completion_tokens > 0
    for found in body.data:
        assert len(found.probabilities) == 2 and len(found.probs) == found.num_classes == 4
        assert max(found.probabilities, key=found.probabilities.get) == found.label
    assert answer.headers["x-request-id"] == body.id.removeprefix("classify-")


def test_only_what_is_wanted_is_sent(served):
    (found,) = served.classify(TEXTS[0], mode="reasoned", show_all=True, include=[]).json()["data"]
    assert (found["reasoning"], found["probabilities"], found["evidence"], found["probs"]) == (
        None,
        None,
        None,
        [],
    )
    assert found["label"]


def test_abstaining_keeps_the_label(served):
    (found,) = served.classify(TEXTS[0], mode="reasoned", abstain_below=1).json()["data"]
    assert found["status"] == "abstained" and found["label"]


def test_a_blank_text_fails_alone(served):
    blank, nul, good = served.classify([" ", "a\0b", TEXTS[0]], mode="reasoned").json()["data"]
    assert (blank["status"], blank["label"], blank["error"]) == ("failed", None, "the text is blank")
    assert nul["status"] == "failed" and "not readable" in nul["error"]
    assert good["status"] != "failed" and good["label"]


def test_model_and_labels(served, dual_model):
    (model,) = Models.model_validate(served.client.get("/v1/models").json(), strict=False).data
    assert model.id == "tiny" and model.modes[0] == dual_model[0].mode and model.labels == 4
    assert served.client.get("/v1/models/tiny").json()["id"] == "tiny"
    assert served.client.get("/v1/models/other").status_code == 404
    labels = Labels.model_validate(served.client.get("/v1/labels").json())
    assert labels.labels == list(dual_model[0].labels.names)


def test_health(served):
    assert served.client.get("/healthz").json() == {"status": "ok"}
    assert served.client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input": "x", "mode": "nonsense"}, 422, "mode"),
        ({"input": "x", "mode": "blend"}, 422, "mode"),
        ({"input": "x", "model": "other"}, 404, "model"),
        ({"input": []}, 422, "input.list[constrained-str]"),
        ({"input": 5}, 422, None),
        ({"input": None}, 422, None),
        ({}, 422, "input"),
        ({"input": "x", "top_k": 0}, 422, "top_k"),
        ({"input": "x", "top_k": "2"}, 422, "top_k"),
        ({"input": "x", "abstain_below": 1.5}, 422, "abstain_below"),
        ({"input": "x", "unknown": 1}, 422, "unknown"),
        ({"input": "x" * 20_001}, 422, "input"),
        ({"input": ["x"] * 65}, 422, "input"),
    ],
)
def test_refused_requests(fake, fields, status, param):
    answer = fake.client.post("/v1/classify", json=fields)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == status and error["message"]
    if param and "[" not in param:
        assert error["param"] == param


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"input": "x", "abstain_below": NaN}', 422),
        (b'{"input": NaN}', 422),
        (b'{"input": "\\ud800"}', 422),
        (b'{"input": "\xff\xfe"}', 400),
        (b"[" * 100_000, 400),
        (b"not json", 400),
        (b'{"input": "' + b"x" * 3_000_000 + b'"}', 413),
        (b"", 422),
    ],
)
def test_hostile_bodies(fake, body, status):
    answer = fake.client.post("/v1/classify", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == status


def test_refusals_do_not_repeat_what_was_sent(fake):
    secret = "my private text"
    answer = fake.client.post("/v1/classify", json={"input": {"text": secret}, secret: secret})
    assert answer.status_code == 422
    assert secret not in answer.text


def test_a_killed_engine_with_a_real_model_comes_back(served):
    import os
    import signal
    import time
    from concurrent.futures import ThreadPoolExecutor

    before = served.classify(TEXTS, mode="reasoned").json()["data"]
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(served.classify, TEXTS * 5, mode="vote") for _ in range(8)]
        time.sleep(0.1)
        os.kill(served.engine_pid(), signal.SIGKILL)
        assert {one.result().status_code for one in waiting} <= {200, 503}
    deadline = time.monotonic() + 60
    while served.client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    after = served.classify(TEXTS, mode="reasoned").json()["data"]
    assert [one["label"] for one in after] == [one["label"] for one in before]
