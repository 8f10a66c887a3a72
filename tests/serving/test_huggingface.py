"""`/predict` with Hugging Face's own client."""

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError


@pytest.fixture(autouse=True)
def may_ask(monkeypatch):
    # Tests run offline, which this client also obeys where it asks this machine.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


TEXT = "It was a grey day, number 4"


def test_the_client_gets_labels_and_scores(served, dual_model):
    (wanted,) = dual_model[0].predict([("1", TEXT)])
    client = InferenceClient(f"{served.url}/predict")
    found = client.text_classification(TEXT)
    assert found[0].label == wanted.label
    expected = dict(zip(dual_model[0].labels.names, wanted.probabilities, strict=True))
    assert {one.label: one.score for one in found} == pytest.approx(expected, abs=1e-5)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert [one.label for one in client.text_classification(TEXT, top_k=1)] == [wanted.label]
    assert client.text_classification(TEXT, function_to_apply="softmax")[0].label == wanted.label


def test_a_batch_returns_all_of_its_rows(served):
    rows = served.client.post("/predict", json={"inputs": [TEXT, "It was a bright day", TEXT]}).json()
    assert len(rows) == 3
    assert [one["label"] for one in rows[0]] == [one["label"] for one in rows[2]]
    assert {len(row) for row in rows} == {4}


def test_what_cannot_be_answered_is_refused(served):
    client = InferenceClient(f"{served.url}/predict")
    with pytest.raises(HfHubHTTPError, match="422"):
        client.text_classification(TEXT, function_to_apply="sigmoid")
    answer = served.client.post("/predict", json={"inputs": [TEXT, " "]})
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "Text 1 cannot be labelled: the text is blank."
