"""Requests with very much that is wrong: they are refused at the first error, while nobody else is answered."""

import pytest
from pydantic import ValidationError

from whylabel.serving.decisions import DecisionRequest, SystemOneRequest
from whylabel.serving.huggingface import PredictRequest
from whylabel.serving.schemas import MOST_FIELDS, ClassifyRequest

MANY = 200_000
CHOICES = {"type": "choice", "choices": [{"value": 1}] * MANY}


@pytest.mark.parametrize(
    ("form", "given"),
    [
        (ClassifyRequest, {"input": [1] * MANY}),
        (ClassifyRequest, {"input": "x", "include": ["x"] * MANY}),
        (ClassifyRequest, {"input": "x", **{str(number): 1 for number in range(MANY)}}),
        (ClassifyRequest, {"input": [{str(number): 1 for number in range(MANY)}]}),
        (PredictRequest, {"inputs": [1] * MANY}),
        (PredictRequest, {"inputs": "x", "parameters": {str(number): 1 for number in range(MANY)}}),
        (DecisionRequest, {"model": "m", "input": "x", "questions": [1] * MANY}),
        (DecisionRequest, {"model": "m", "input": "x", "questions": [CHOICES]}),
        (DecisionRequest, {"model": "m", "input": [1] * MANY, "questions": []}),
        (
            DecisionRequest,
            {"model": "m", "input": [{"role": "user", "content": [1] * MANY}], "questions": []},
        ),
        (
            SystemOneRequest,
            {"model": "m", "state": "x", "questions": dict.fromkeys(map(str, range(MANY)), 1)},
        ),
        (
            SystemOneRequest,
            {
                "model": "m",
                "state": "x",
                "questions": {"q": {"type": "choice", "criteria": dict.fromkeys(map(str, range(MANY)), 1)}},
            },
        ),
    ],
)
def test_few_errors_are_collected(form, given):
    with pytest.raises(ValidationError) as raised:
        form.model_validate(given)
    assert raised.value.error_count() <= 4


def test_a_request_may_have_as_many_choices_as_a_model_has_labels():
    choices = [{"value": str(number)} for number in range(MOST_FIELDS // 2)]
    body = {"model": "m", "input": "x", "questions": [{"type": "choice", "choices": choices}]}
    assert len(DecisionRequest.model_validate(body).questions[0].choices) == len(choices)
