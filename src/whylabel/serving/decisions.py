"""`/v1/decisions` (OpenAI's form) and `/v1/systemone`: typed questions in, probabilities out, here with a reasoning.

A trained model answers the one question that it was trained on, so the options of a question must be its labels. A
model of one label answers a choice among all of them. One that decides each label separately answers yes or no for
the label that a question is named after. Instructions and descriptions are not read: what labels mean was learnt from
examples.

The confidence of a choice is 1 minus the entropy of its probabilities over that of equal ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import Field

from whylabel.serving import schemas
from whylabel.serving.answering import Answering
from whylabel.serving.errors import RefusedError
from whylabel.serving.messages import ModelInfo, Question
from whylabel.types import Mode

_MOST_QUESTIONS = 400


class InputText(schemas.Request):
    """A part of a message."""

    type: Literal["input_text"]
    text: str


class UserMessage(schemas.Request):
    """What a user says: the text to decide about."""

    role: Literal["user"]
    content: str | Annotated[list[InputText], Field(fail_fast=True)]
    type: Literal["message"] = "message"


class Choice(schemas.Request):
    """One of the labels."""

    value: str
    description: str | None = None


class ChoiceQuestion(schemas.Request):
    """Which of all labels fits."""

    type: Literal["choice"]
    instructions: str = ""
    choices: Annotated[list[Choice], Field(min_length=2, fail_fast=True)]
    name: str | None = None


class PredicateQuestion(schemas.Request):
    """Whether the label fits that the question is named after."""

    type: Literal["predicate"]
    instructions: str = ""
    name: str


class DecisionRequest(schemas.Body):
    """A text and questions about it."""

    model: str
    input: str | Annotated[list[UserMessage], Field(min_length=1, max_length=1, fail_fast=True)]
    questions: Annotated[
        list[Annotated[ChoiceQuestion | PredicateQuestion, Field(discriminator="type")]],
        Field(min_length=1, max_length=_MOST_QUESTIONS, fail_fast=True),
    ]
    mode: Mode | None = None
    """How the model answers; an extension."""
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    safety_identifier: str | None = None

    @property
    def text(self) -> str:
        """The text to decide about."""
        if isinstance(self.input, str):
            return self.input
        content = self.input[0].content
        return content if isinstance(content, str) else "\n".join(part.text for part in content)


class ChoiceCriteria(schemas.Request):
    """Which of all labels fits; `criteria` maps each label to its description."""

    type: Literal["choice"]
    instructions: str = ""
    criteria: Annotated[dict[str, str | None], Field(min_length=2)]


class Noul(schemas.Request):
    """Whether the label fits that the question is named after."""

    type: Literal["noul"]
    instructions: str = ""


class SystemOneRequest(schemas.Body):
    """A text and named questions about it."""

    model: str
    state: str
    questions: Annotated[
        dict[str, Annotated[ChoiceCriteria | Noul, Field(discriminator="type")]],
        Field(min_length=1, max_length=_MOST_QUESTIONS),
    ]
    mode: Mode | None = None
    """How the model answers; an extension."""


class _Answer(schemas.Reply):
    """What every answer has beside the form of OpenAI's API and of System One."""

    reasoning: str | None
    reasoning_status: str | None
    """`ok`, `afterthought`, or why the reasoning is withheld."""
    mode: Mode


class LabelProbability(schemas.Reply):
    """The probability of a label."""

    value: str
    probability: float


class ChoiceAnswer(_Answer):
    """The answer to a choice."""

    type: Literal["choice"]
    name: str | None
    choice: str
    confidence: float
    """1 minus the entropy of the probabilities over that of equal ones."""
    probabilities: list[LabelProbability]
    """In the order of the choices."""


class PredicateAnswer(_Answer):
    """The answer to a predicate."""

    type: Literal["predicate"]
    name: str
    probability: float


class InputDetails(schemas.Reply):
    """Nothing is cached."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(schemas.Reply):
    """All that is written is a reasoning."""

    reasoning_tokens: int


class DecisionUsage(schemas.Reply):
    """What was computed for a request, in the form of OpenAI's API."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Decision(schemas.Reply):
    """The answers in the order of the questions."""

    id: str
    object: Literal["decision"]
    model: str
    answers: list[Annotated[ChoiceAnswer | PredicateAnswer, Field(discriminator="type")]]
    usage: DecisionUsage


class CriteriaAnswer(_Answer):
    """The answer to a choice."""

    type: Literal["choice"]
    choice: str
    confidence: float
    """1 minus the entropy of the probabilities over that of equal ones."""
    probabilities: dict[str, float]
    """By label."""


class NoulAnswer(_Answer):
    """The answer to a question of yes and no."""

    type: Literal["noul"]
    noul: float
    """The probability of yes."""


class SystemOneUsage(schemas.Reply):
    """What was computed for a request."""

    input_tokens: int
    output_tokens: int


class SystemOneAnswers(schemas.Reply):
    """The answers by the names of the questions."""

    model: str
    answers: dict[str, Annotated[CriteriaAnswer | NoulAnswer, Field(discriminator="type")]]
    usage: SystemOneUsage


async def decide(answering: Answering, body: DecisionRequest, request: Request) -> JSONResponse:
    """Return the answers in the form of OpenAI's API, each with `reasoning`, `reasoning_status` and `mode`."""
    found = await _Decision.about(answering, body.text, body.model, body.mode, request, "input")
    answers: list[dict[str, Any]] = []
    for place, question in enumerate(body.questions):
        where = f"questions.{place}"
        if isinstance(question, PredicateQuestion):
            answer: dict[str, Any] = {"probability": found.predicate(question.name, where)}
        else:
            probabilities = found.choice([choice.value for choice in question.choices], where)
            answer = {
                "choice": found.label,
                "confidence": confidence(probabilities.values()),
                "probabilities": [{"value": label, "probability": p} for label, p in probabilities.items()],
            }
        answers.append({"type": question.type, "name": question.name, **answer, **found.more})
    read, written = found.prompt_tokens, found.prediction["tokens"]
    return JSONResponse(
        {
            "id": f"decision-{request.state.request_id}",
            "object": "decision",
            "model": body.model,
            "answers": answers,
            "usage": {
                "input_tokens": read,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": written,
                "output_tokens_details": {"reasoning_tokens": written},
                "total_tokens": read + written,
            },
        }
    )


async def system_one(answering: Answering, body: SystemOneRequest, request: Request) -> JSONResponse:
    """Return the answers by name, each with `reasoning`, `reasoning_status` and `mode`."""
    found = await _Decision.about(answering, body.state, body.model, body.mode, request, "state")
    answers: dict[str, dict[str, Any]] = {}
    for name, question in body.questions.items():
        where = f"questions.{name}"
        if isinstance(question, Noul):
            answer: dict[str, Any] = {"noul": found.predicate(name, where)}
        else:
            probabilities = found.choice(list(question.criteria), where)
            answer = {
                "choice": found.label,
                "confidence": confidence(probabilities.values()),
                "probabilities": probabilities,
            }
        answers[name] = {"type": question.type, **answer, **found.more}
    usage = {"input_tokens": found.prompt_tokens, "output_tokens": found.prediction["tokens"]}
    return JSONResponse({"model": body.model, "answers": answers, "usage": usage})


class _Decision:
    """What the model says of a text, as an answer to typed questions."""

    def __init__(self, info: ModelInfo, prediction: dict[str, Any], prompt_tokens: int) -> None:
        self._info, self.prediction, self.prompt_tokens = info, prediction, prompt_tokens
        self.label: str = prediction["label"]
        self.more = {key: prediction[key] for key in ("reasoning", "reasoning_status", "mode")}
        self._probabilities = dict(zip(info.labels, prediction["probabilities"], strict=True))

    @classmethod
    async def about(
        cls,
        answering: Answering,
        text: str,
        model: str,
        mode: Mode | None,
        request: Request,
        param: str,
    ) -> _Decision:
        info = answering.check([text], model, param)
        question = Question(answering.mode(mode, info))
        (answered,) = await answering.answers([text], question, request)
        prediction = answered.prediction
        if prediction is None or prediction["status"] == "failed":
            error = answered.error if prediction is None else prediction["error"]
            raise RefusedError(422, f"The text cannot be labelled: {error}.", param)
        return cls(info, prediction, answered.prompt_tokens)

    def choice(self, options: Sequence[str], where: str) -> dict[str, float]:
        """Return the probability of each option in its order. Raises `RefusedError` if they are not the labels."""
        if self._info.multi_label:
            raise RefusedError(
                400, "A text may have several labels here: ask a yes/no question named after each.", where
            )
        if sorted(options) != sorted(self._info.labels):
            raise RefusedError(
                400, "The options must be the labels that the model was trained on; see /v1/labels.", where
            )
        return {option: self._probabilities[option] for option in options}

    def predicate(self, label: str, where: str) -> float:
        """Return the probability that a label fits. Raises `RefusedError` if that is no question of the model."""
        if not self._info.multi_label:
            raise RefusedError(
                400, "The model was trained on a choice among its labels; see /v1/labels.", where
            )
        if label not in self._probabilities:
            raise RefusedError(
                400, "The question must be named after a label of the model; see /v1/labels.", where
            )
        return float(self._probabilities[label])


def confidence(probabilities: Iterable[float]) -> float:
    """Return 1 if one probability is 1, 0 if all are equal: 1 minus their entropy over that of equal ones."""
    values = list(probabilities)
    entropy = -sum(p * math.log(p) for p in values if p > 0)
    return min(1.0, max(0.0, 1 - entropy / math.log(len(values)))) if len(values) > 1 else 1.0
