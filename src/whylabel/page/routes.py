"""The routes behind the page: what there is of the runs, their predictions, reasonings and reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from whylabel.errors import RunFolderError, RunInUseError, WhylabelError
from whylabel.page import browse, review, schemas
from whylabel.page.page import add_page
from whylabel.page.report import Reports
from whylabel.page.runs import ServedRun
from whylabel.serving.errors import RefusedError, documented, error_body, error_response
from whylabel.serving.settings import ServeSettings

_ASKING = documented(401, 404, 409, 422, 503)
_DECIDING = {**_ASKING, **documented(400)}
_RETRY_SECONDS = 3


def page_of(settings: ServeSettings, served: Sequence[ServedRun]) -> Callable[[FastAPI], None]:
    """Return what adds the page to an app, with these runs."""

    def add(app: FastAPI) -> None:
        by_name = {run.name: run for run in served}
        reports = Reports(by_name)
        add_page(app)
        _add_handlers(app)
        _add_facts(app, settings, served)
        runs = _Runs(by_name)
        _add_predictions(app, runs)
        _add_reasonings(app, runs)
        _add_readings(app, runs)
        _add_reports(app, runs, reports)

    return add


class _Runs:
    """The runs by name, and whether they have what is asked for."""

    def __init__(self, by_name: dict[str, ServedRun]) -> None:
        self._by_name = by_name

    def with_predictions(self, name: str) -> ServedRun:
        return self._having(name, lambda run: run.has_predictions, "has not been evaluated")

    def with_reasonings(self, name: str) -> ServedRun:
        return self._having(name, lambda run: run.has_reasonings, "has no reasonings for training")

    def with_report(self, name: str) -> ServedRun:
        return self._having(name, lambda run: run.folder.report.exists(), "has no report")

    def _having(self, name: str, has: Callable[[ServedRun], bool], lacks: str) -> ServedRun:
        run = self._by_name.get(name)
        if run is None:
            raise RefusedError(404, "There is no run of this name here.")
        if not has(run):
            raise RefusedError(404, f"This run {lacks}.")
        return run


def _add_facts(app: FastAPI, settings: ServeSettings, served: Sequence[ServedRun]) -> None:
    limits = {name: getattr(settings, name) for name in schemas.PageLimits.model_fields}

    @app.get(
        "/v1/page",
        response_model=schemas.PageFacts,
        responses=documented(401),
        tags=["runs"],
        summary="What the page needs to know",
    )
    def facts() -> Any:
        """Say what a request may have, and which runs can be looked at."""
        parts = [
            {
                "name": run.name,
                "predictions": run.has_predictions,
                "reasonings": run.has_reasonings,
                "report": run.folder.report.exists(),
            }
            for run in served
        ]
        return JSONResponse({"limits": limits, "runs": parts})


def _add_predictions(app: FastAPI, runs: _Runs) -> None:
    @app.get(
        "/v1/runs/{name}/predictions",
        response_model=schemas.FoundPredictions,
        responses=_ASKING,
        tags=["runs"],
        summary="Test predictions",
    )
    def predictions(name: str, query: Annotated[schemas.PredictionQuery, Query()]) -> Any:
        """Return a part of the test predictions that are wanted, in the order of the run."""
        return browse.browse(runs.with_predictions(name), query)


def _add_reasonings(app: FastAPI, runs: _Runs) -> None:
    @app.get(
        "/v1/runs/{name}/reasonings",
        response_model=schemas.DealtReasonings,
        responses=_ASKING,
        tags=["runs"],
        summary="Reasonings for training, dealt to a person",
    )
    def reasonings(name: str, query: Annotated[schemas.ReasoningQuery, Query()]) -> Any:
        """Return a part of the reasonings on which nobody has decided, or of the others."""
        return review.deal_reasonings(runs.with_reasonings(name), query)

    @app.post(
        "/v1/runs/{name}/decisions",
        response_model=schemas.DecisionAnswer,
        responses=_DECIDING,
        tags=["runs"],
        summary="Decide on a reasoning for training",
    )
    def decisions(name: str, body: schemas.DecisionRequest) -> Any:
        """Record a decision with its author and time; it takes effect with the next run."""
        return review.record_decision(runs.with_reasonings(name), body)


def _add_readings(app: FastAPI, runs: _Runs) -> None:
    @app.get(
        "/v1/runs/{name}/readings",
        response_model=schemas.DealtReadings,
        responses=_ASKING,
        tags=["runs"],
        summary="Reasonings beside predictions, dealt to a reader",
    )
    def readings(name: str, query: Annotated[schemas.ReadingQuery, Query()]) -> Any:
        """Return a part of the reasonings beside test predictions that this person has not read."""
        return review.deal_readings(runs.with_predictions(name), query)

    @app.post(
        "/v1/runs/{name}/readings",
        response_model=schemas.ReadingAnswer,
        responses=_DECIDING,
        tags=["runs"],
        summary="Accept or reject a reasoning beside a prediction",
    )
    def read(name: str, body: schemas.ReadingRequest) -> Any:
        """Record a reader's verdict; the report says how many are acceptable."""
        return review.record_reading(runs.with_predictions(name), body)


def _add_reports(app: FastAPI, runs: _Runs, reports: Reports) -> None:
    @app.post(
        "/v1/runs/{name}/report",
        response_model=schemas.ReportAddress,
        responses=_ASKING,
        tags=["runs"],
        summary="Where the report can be opened",
    )
    def address(name: str) -> Any:
        """Return an address at which the report can be opened for a minute, without a key."""
        return {"url": reports.address(runs.with_report(name))}

    @app.get("/page/report/{ticket}", include_in_schema=False)
    def report(ticket: str) -> Response:
        return reports.open(ticket)


def _add_handlers(app: FastAPI) -> None:
    @app.exception_handler(review.ConflictError)
    async def conflict(_request: Request, error: review.ConflictError) -> JSONResponse:
        return JSONResponse({**error_body(409, error.message), "row": error.row.model_dump()}, 409)

    @app.exception_handler(WhylabelError)
    async def refused(_request: Request, error: WhylabelError) -> JSONResponse:
        if isinstance(error, RunInUseError):
            return error_response(503, error.what, headers={"retry-after": str(_RETRY_SECONDS)})
        # Where it was is not said: paths of this machine are nobody's business.
        return error_response(409 if isinstance(error, RunFolderError) else 422, error.what)
