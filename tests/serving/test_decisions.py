"""`/v1/decisions` with OpenAI's own client, and `/v1/systemone`."""

import openai
import pytest

from whylabel.serving.decisions import Decision, SystemOneAnswers, confidence

TEXT = "It was a grey day, number 4"


@pytest.fixture
def client(served):
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


def choice(labels, **fields):
    choices = [{"value": label} for label in labels]
    return {"type": "choice", "instructions": "Which label fits?", "choices": choices, **fields}


def test_the_client_gets_a_choice_with_a_reasoning(client, served, dual_model):
    labels = dual_model[0].labels.names
    (wanted,) = dual_model[0].predict([("1", TEXT)], "reasoned", show_all=False)
    decision = client.decisions.create(
        model="tiny",
        input=TEXT,
        questions=[choice(labels, name="mood"), choice(labels[::-1])],
        extra_body={"mode": "reasoned"},
    )
    first, second = decision.answers
    assert (first.type, first.name, second.name) == ("choice", "mood", None)
    assert first.choice == second.choice == wanted.label
    assert [one.value for one in first.probabilities] == list(labels)
    assert [one.value for one in second.probabilities] == list(labels[::-1])
    assert [one.probability for one in first.probabilities] == pytest.approx(wanted.probabilities, abs=1e-5)
    assert first.confidence == pytest.approx(confidence(wanted.probabilities), abs=1e-4)
    assert first.model_extra["mode"] == "reasoned"
    assert first.model_extra["reasoning"] == wanted.reasoning
    assert first.model_extra["reasoning_status"] == wanted.reasoning_status
    assert decision.usage.input_tokens == dual_model[0].prompts.count(TEXT)
    assert decision.usage.output_tokens == wanted.tokens


def test_messages_are_texts(client, dual_model):
    labels = dual_model[0].labels.names
    (wanted,) = dual_model[0].predict([("1", TEXT)])
    for content in (TEXT, [{"type": "input_text", "text": TEXT}]):
        message = {"role": "user", "content": content}
        decision = client.decisions.create(model="tiny", input=[message], questions=[choice(labels)])
        assert decision.answers[0].choice == wanted.label


@pytest.mark.parametrize(
    ("question", "status"),
    [
        (choice(["joy", "sad"]), 400),
        (choice(["joy", "joyful", "sad", "other"]), 400),
        (choice(["joy", "joyful", "sad", "very sad", "very sad"]), 400),
        ({"type": "predicate", "instructions": "It is joy.", "name": "joy"}, 400),
        ({"type": "score", "instructions": "How sad?", "levels": [{"label": "a"}, {"label": "b"}]}, 422),
    ],
)
def test_other_questions_are_refused(client, question, status):
    with pytest.raises(openai.APIStatusError) as raised:
        client.decisions.create(model="tiny", input=TEXT, questions=[question])
    assert raised.value.status_code == status


def test_another_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError):
        client.decisions.create(model="gpt-6-luna", input=TEXT, questions=[choice(["a", "b"])])
    assert [model.id for model in client.models.list()] == ["tiny"]


def test_a_key_is_sent_as_the_client_does(serve_fake):
    key = "a-key-of-the-tests-0123456789"
    server = serve_fake(keys=[key])
    assert openai.OpenAI(base_url=f"{server.url}/v1", api_key=key).models.list().data[0].id == "fake"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong").models.list()


def test_system_one(served, dual_model):
    labels = dual_model[0].labels.names
    (wanted,) = dual_model[0].predict([("1", TEXT)])
    question = {"type": "choice", "instructions": "?", "criteria": dict.fromkeys(labels, "what it means")}
    body = {"model": "tiny", "state": TEXT, "questions": {"mood": question}}
    answer = served.client.post("/v1/systemone", json=body).json()
    assert answer["model"] == "tiny"
    found = answer["answers"]["mood"]
    assert (found["type"], found["choice"]) == ("choice", wanted.label)
    assert list(found["probabilities"]) == list(labels)
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert 0 <= found["confidence"] <= 1
    assert answer["usage"]["input_tokens"] > 0
    assert SystemOneAnswers.model_validate(answer).model_dump() == answer
    body["questions"] = {"joy": {"type": "noul", "instructions": "?"}}
    assert served.client.post("/v1/systemone", json=body).status_code == 400


def test_a_model_of_several_labels_answers_yes_or_no_for_each(serve_fake):
    server = serve_fake({"FAKE_SEVERAL": "1"})
    predicate = {"type": "predicate", "instructions": "?", "name": "sad"}
    body = {"model": "fake", "input": "x", "questions": [predicate]}
    decision = server.client.post("/v1/decisions", json=body).json()
    assert Decision.model_validate(decision).model_dump() == decision
    (answer,) = decision["answers"]
    assert (answer["type"], answer["probability"], answer["name"]) == ("predicate", 0.1, "sad")
    questions = {"joy": {"type": "noul"}, "not sure": {"type": "noul"}}
    body = {"model": "fake", "state": "x", "questions": questions}
    answer = server.client.post("/v1/systemone", json=body).json()
    assert SystemOneAnswers.model_validate(answer).model_dump() == answer
    answers = answer["answers"]
    assert {name: answer["noul"] for name, answer in answers.items()} == {"joy": 0.7, "not sure": 0.2}
    body["questions"] = {"anger": {"type": "noul"}}
    assert server.client.post("/v1/systemone", json=body).status_code == 400
    body = {"model": "fake", "input": "x", "questions": [choice(["joy", "sad", "not sure"])]}
    assert server.client.post("/v1/decisions", json=body).status_code == 400


def test_confidence():
    # A published example of this form: billing 0.0125, bug 0.9781, account 0.0093.
    assert confidence([0.0125, 0.9781, 0.0093]) == pytest.approx(0.8906, abs=5e-4)
    assert confidence([1.0, 0.0]) == 1
    assert confidence([0.25] * 4) == pytest.approx(0)
