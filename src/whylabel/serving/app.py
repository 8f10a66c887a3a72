"""The HTTP API: its routes, around an engine that answers."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from whylabel.serving.answering import Answering
from whylabel.serving.engines import Engines
from whylabel.serving.errors import add_handlers, documented, error_response
from whylabel.serving.gate import Gate
from whylabel.serving.log import Log
from whylabel.serving.messages import ModelInfo
from whylabel.serving.schemas import ClassifyRequest, ClassifyResponse, Health, Labels, Model, Models
from whylabel.serving.settings import ServeSettings
from whylabel.version import __version__

_STALE_SECONDS = 30.0
"""An engine that was silent for so long is not ready: it gives a sign of life every second, between two turns."""

ASKING = documented(400, 401, 404, 413, 422, 429, 503, 504)


def create_app(engines: Engines, settings: ServeSettings, log: Log) -> Any:
    """Return the ASGI app. The engines are started and stopped by whoever runs it."""
    app = FastAPI(
        title="whylabel",
        version=__version__,
        description="A trained classifier that says why: labels, probabilities, reasonings, evidence.",
        docs_url=None,
        redoc_url=None,
        max_body_size=settings.max_body_bytes,
    )
    add_handlers(app)
    answering = Answering(engines, settings)
    created = int(time.time())
    _add_health(app, engines)
    _add_model(app, engines, settings.name, created)

    @app.post(
        "/v1/classify",
        response_model=ClassifyResponse,
        responses=ASKING,
        tags=["classify"],
        summary="Label texts",
    )
    async def classify(body: ClassifyRequest, request: Request) -> Any:
        """Label one text or several; each answer has the index of its text."""
        return await answering.classify(body, request)

    return Gate(app, settings, log)


def _add_health(app: FastAPI, engines: Engines) -> None:
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
        """Answer 200 if the model is loaded and has made progress lately, else 503."""
        state = engines.state
        if state == "ready" and engines.silent_seconds > _STALE_SECONDS:
            return error_response(503, "The engine makes no progress.")
        if state != "ready":
            return error_response(503, f"The server is {state}.")
        return {"status": "ready"}


def _add_model(app: FastAPI, engines: Engines, name: str, created: int) -> None:
    def info() -> ModelInfo:
        found = engines.info
        if found is None:
            raise engines.lost()
        return found

    def model() -> dict[str, Any]:
        found = info()
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

    @app.get("/v1/models", response_model=Models, responses=failures, tags=["model"], summary="The model")
    async def models() -> Any:
        """Say what is served, as a list of one."""
        return JSONResponse({"object": "list", "data": [model()]})

    @app.get(
        "/v1/models/{model_id}",
        response_model=Model,
        responses=documented(401, 404, 422, 503),
        tags=["model"],
        summary="One model",
    )
    async def one_model(model_id: str) -> Any:
        """Say what the model of this name is."""
        return JSONResponse(model()) if model_id == name else error_response(404, "There is no such model.")

    @app.get("/v1/labels", response_model=Labels, responses=failures, tags=["model"], summary="Its labels")
    async def labels() -> Any:
        """List the labels in the order of `probs`."""
        found = info()
        return JSONResponse({"labels": found.labels, "multi_label": found.multi_label})
