"""`/predict`: what Hugging Face's clients ask for, and text-embeddings-inference answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import Field

from whylabel.serving import schemas
from whylabel.serving.answering import Answering
from whylabel.serving.errors import RefusedError
from whylabel.serving.messages import Question
from whylabel.serving.schemas import Count


class Parameters(schemas.Request):
    """How the labels of a text are listed."""

    top_k: Count | None = None
    """How many labels; all if left out."""
    function_to_apply: Literal["softmax", "sigmoid"] | None = None
    """Probabilities are given in any case: softmax of one label, sigmoid where a text may have several."""


class PredictRequest(schemas.Body):
    """One text or several."""

    inputs: Annotated[
        str | Annotated[list[str], Field(min_length=1, fail_fast=True)],
        Field(examples=["I could not stop smiling."]),
    ]
    parameters: Parameters | None = None


class LabelScore(schemas.Reply):
    """A label and its probability."""

    label: str
    score: float


async def predict(answering: Answering, body: PredictRequest, request: Request) -> JSONResponse:
    """Return a list of labels for every text, the most probable first.

    Raises `RefusedError` if a text cannot be labelled: this form has no place for the reason.
    """
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    info = answering.check(texts, None, "inputs")
    parameters = body.parameters or Parameters()
    wrong = "softmax" if info.multi_label else "sigmoid"
    if parameters.function_to_apply == wrong:
        raise RefusedError(422, f"The probabilities of this model are not of {wrong}.", "parameters")
    found = await answering.answers(texts, Question(info.mode), request)
    lists: list[list[dict[str, Any]]] = []
    for answered in found:
        prediction = answered.prediction
        if prediction is None or prediction["status"] == "failed":
            error = answered.error if prediction is None else prediction["error"]
            raise RefusedError(422, f"Text {answered.index} cannot be labelled: {error}.", "inputs")
        pairs = zip(info.labels, prediction["probabilities"], strict=True)
        ordered = sorted(pairs, key=lambda pair: -pair[1])[: parameters.top_k]
        lists.append([{"label": label, "score": score} for label, score in ordered])
    return JSONResponse(lists)
