"""`/v1/classify`: whylabel's own API, with all that it can say of a text."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from whylabel.serving.answering import Answering, usage
from whylabel.serving.errors import RefusedError
from whylabel.serving.messages import ModelInfo, Question
from whylabel.serving.process import Answered
from whylabel.serving.schemas import ClassifyRequest
from whylabel.serving.streaming import EventStream, events


async def classify(answering: Answering, body: ClassifyRequest, request: Request) -> Response:
    """Return the answer to a request: JSON, or server-sent events."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    info = answering.check(texts, body.model)
    question = Question(
        answering.mode(body.mode, info),
        evidence="evidence" in body.include,
        abstain_below=body.abstain_below,
        show_all=body.show_all,
        stream=body.stream and "reasoning" in body.include,
    )
    if body.abstain_below and info.multi_label:
        raise RefusedError(422, "A model that decides each label separately cannot abstain.", "abstain_below")
    head = {"id": f"classify-{request.state.request_id}", "model": answering.settings.name}
    if body.stream:
        return _streamed(answering, texts, question, info, body, request, head)
    found = await answering.answers(texts, question, request)
    data = [classified(one, question, info, body) for one in found]
    return JSONResponse(
        {**head, "object": "list", "created": int(time.time()), "data": data, "usage": usage(found)}
    )


def _streamed(
    answering: Answering,
    texts: list[str],
    question: Question,
    info: ModelInfo,
    body: ClassifyRequest,
    request: Request,
    head: dict[str, str],
) -> EventStream:
    asked = answering.ask(texts, question, request)
    found: list[Answered] = []

    def result(answered: Answered) -> dict[str, Any]:
        found.append(answered)
        answering.count(answered, question.mode)
        return classified(answered, question, info, body)

    seconds = answering.settings.timeout
    content = events(asked, asked.began + seconds, result, lambda: {**head, "usage": usage(found)})
    return EventStream(content, lambda: answering.finish(asked), seconds + 30)


def classified(
    answered: Answered, question: Question, info: ModelInfo, body: ClassifyRequest
) -> dict[str, Any]:
    """Return a `Classified` from what the engine answered."""
    prediction = answered.prediction or {
        "status": "failed",
        "mode": question.mode,
        "error": answered.error,
        "seconds": 0.0,
    }
    failed = prediction["status"] == "failed"
    probs = list(prediction.get("probabilities") or ()) if "probabilities" in body.include else []
    ordered = sorted(zip(info.labels, probs, strict=False), key=lambda pair: -pair[1])
    return {
        "index": answered.index,
        "label": None if failed else prediction["label"],
        "probs": probs,
        "num_classes": len(info.labels),
        "probabilities": dict(ordered[: body.top_k]) if probs else None,
        "reasoning": prediction.get("reasoning") if "reasoning" in body.include else None,
        "reasoning_status": prediction.get("reasoning_status"),
        "disagrees": prediction.get("disagrees"),
        "evidence": prediction.get("evidence"),
        "status": prediction["status"],
        "mode": prediction["mode"],
        "error": prediction.get("error"),
        "seconds": prediction["seconds"],
    }
