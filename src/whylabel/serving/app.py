"""The HTTP API: its routes, around an engine that answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Security
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.security import HTTPBearer

from whylabel.serving import classify, decisions, huggingface
from whylabel.serving.answering import Answering
from whylabel.serving.engines import Engines
from whylabel.serving.errors import add_handlers, documented, error_response
from whylabel.serving.gate import Gate
from whylabel.serving.log import Log
from whylabel.serving.messages import ModelInfo
from whylabel.serving.metrics import CONTENT_TYPE, Metrics
from whylabel.serving.schemas import (
    ClassifyRequest,
    ClassifyResponse,
    Health,
    Labels,
    LabelsQuery,
    Model,
    Models,
)
from whylabel.serving.settings import ServeSettings
from whylabel.version import __version__

_STALE_SECONDS = 30.0
"""An engine that was silent for so long is not ready: it gives a sign of life every second, between iterations."""
_ASKING = documented(400, 401, 404, 413, 422, 429, 503, 504)
_SWAGGER = Path(__file__).parent / "swagger"
_EVENTS = {
    "description": "The answer, or server-sent events if `stream` is set: `reasoning` (index, draft, delta), "
    "`result` (an item of `data`), then `done` (usage) or `error`.",
    "content": {"text/event-stream": {}},
}


Extend = Callable[[FastAPI], None]
"""Adds routes of other wings to the app, behind the same gate."""


def create_app(
    models: Mapping[str, Engines],
    settings: ServeSettings,
    log: Log,
    metrics: Metrics,
    extend: Extend = lambda _: None,
) -> Gate:
    """Return the ASGI app around the engines of models by name, which are started and stopped by whoever runs it.

    A request that names no model is for the first.
    """
    app = FastAPI(
        title="whylabel",
        version=__version__,
        description="A trained classifier that says why: labels, probabilities, reasonings, evidence.",
        docs_url=None,
        redoc_url=None,
        max_body_size=settings.max_body_bytes,
        # The gate looks at the key; this lets /docs ask for it.
        dependencies=[Security(HTTPBearer(auto_error=False))] if settings.keys else [],
    )
    add_handlers(app)
    _add_answers(
        app,
        {name: Answering(one, replace(settings, name=name), metrics) for name, one in models.items()},
    )
    _add_model(app, models, int(time.time()))
    _add_health(app, list(models.values()), metrics)
    _add_docs(app)
    extend(app)
    return Gate(app, settings, log, metrics.request)


def _add_answers(app: FastAPI, models: Mapping[str, Answering]) -> None:
    first = next(iter(models.values()))

    def of(model: str | None) -> Answering:
        # An unknown name is refused by the first.
        return models.get(model or "", first)

    @app.post(
        "/v1/classify",
        response_model=ClassifyResponse,
        responses={200: _EVENTS, **_ASKING},
        tags=["answers"],
        summary="Label texts, and say why",
    )
    async def classify_texts(body: ClassifyRequest, request: Request) -> Any:
        """Label one text or several; each answer has the index of its text."""
        return await classify.classify(of(body.model), body, request)

    @app.post(
        "/v1/decisions",
        response_model=decisions.Decision,
        responses=_ASKING,
        tags=["answers"],
        summary="In the form of OpenAI's decisions",
    )
    async def decide(body: decisions.DecisionRequest, request: Request) -> Any:
        """Answer the trained question: a choice among all labels; yes/no for each where there may be several."""
        return await decisions.decide(of(body.model), body, request)

    @app.post(
        "/v1/systemone",
        response_model=decisions.SystemOneAnswers,
        responses=_ASKING,
        tags=["answers"],
        summary="In the form of System One",
    )
    async def system_one(body: decisions.SystemOneRequest, request: Request) -> Any:
        """Answer the trained question: a choice among all labels; yes/no for each where there may be several."""
        return await decisions.system_one(of(body.model), body, request)

    @app.post(
        "/predict",
        response_model=list[list[huggingface.LabelScore]],
        responses=_ASKING,
        tags=["answers"],
        summary="As Hugging Face's clients ask",
    )
    async def predict(body: huggingface.PredictRequest, request: Request) -> Any:
        """List the labels of every text with their probabilities, the most probable first."""
        return await huggingface.predict(first, body, request)


def _add_health(app: FastAPI, engines: Sequence[Engines], metrics: Metrics) -> None:
    @app.get("/healthz", response_model=Health, tags=["health"], summary="Whether this process answers")
    async def healthz() -> Any:
        """Answer as long as the HTTP process works, whatever the engine does."""
        return {"status": "ok"}

    @app.get(
        "/readyz",
        response_model=Health,
        responses=documented(503),
        tags=["health"],
        summary="Whether it can label",
    )
    async def readyz() -> Any:
        """Answer 200 if every model is loaded and has made progress lately, else 503."""
        for one in engines:
            if one.state != "ready":
                return error_response(503, f"The server is {one.state}.")
            if one.silent_seconds > _STALE_SECONDS:
                return error_response(503, "The engine makes no progress.")
        return {"status": "ready"}

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **documented(401)},
        tags=["health"],
        summary="Figures for Prometheus",
    )
    async def figures() -> Any:
        """Return all figures in the text format of Prometheus."""
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})


def _add_docs(app: FastAPI) -> None:
    files = {path.name: path for path in _SWAGGER.iterdir() if path.is_file()}

    @app.get("/docs", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(files["index.html"])

    @app.get("/docs/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        if name not in files:
            return error_response(404, "There is no such file.")
        return FileResponse(files[name], headers={"cache-control": "max-age=3600"})


def _add_model(app: FastAPI, served: Mapping[str, Engines], created: int) -> None:
    def info(name: str) -> ModelInfo:
        found = served[name].info
        if found is None:
            raise served[name].lost()
        return found

    def model(name: str) -> dict[str, Any]:
        found = info(name)
        return {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "whylabel",
            "task": "multi_label" if found.multi_label else "single_label",
            "target": found.target,
            "question": found.question,
            "modes": found.modes,
            "labels": len(found.labels),
            "max_text_tokens": found.max_text_tokens,
            "engine": found.engine,
            "device": found.device,
        }

    failures = documented(401, 503)

    @app.get("/v1/models", response_model=Models, responses=failures, tags=["model"], summary="The models")
    async def models() -> Any:
        """Say what is served; the first answers where a request names none."""
        return JSONResponse({"object": "list", "data": [model(name) for name in served]})

    @app.get(
        "/v1/models/{model_id}",
        response_model=Model,
        responses=documented(401, 404, 422, 503),
        tags=["model"],
        summary="One model",
    )
    async def one_model(model_id: str) -> Any:
        """Say what the model of this name is."""
        return (
            JSONResponse(model(model_id))
            if model_id in served
            else error_response(404, "There is no such model.")
        )

    @app.get(
        "/v1/labels",
        response_model=Labels,
        responses=documented(401, 404, 422, 503),
        tags=["model"],
        summary="Its labels",
    )
    async def labels(query: Annotated[LabelsQuery, Query()]) -> Any:
        """List the labels of a model, by default of the first, in the order of `probs`."""
        name = next(iter(served)) if query.model is None else query.model
        if name not in served:
            return error_response(404, "There is no such model.")
        found = info(name)
        several = {"multi_label": found.multi_label, "label_separator": found.label_separator}
        return JSONResponse({"labels": found.labels, **several})
