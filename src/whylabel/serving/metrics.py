"""Figures for Prometheus. None of them has a text in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_MOST_LABELS = 100
"""With more labels, or where a text may have several, predictions are counted without theirs."""

Cancelled = Literal["client_gone", "deadline"]


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "whylabel_requests", "Requests by route and HTTP status.", ["route", "status"], registry=registry
        )
        self._duration = _histogram(
            "whylabel_request_duration_seconds", "From a request to its answer.", ["route"], registry
        )
        self._depth = Gauge(
            "whylabel_queue_depth", "Texts that are taken and not answered yet.", registry=registry
        )
        self._wait = _histogram(
            "whylabel_queue_wait_seconds", "From a text to the first computing for it.", [], registry
        )
        self._first = _histogram(
            "whylabel_time_to_first_token_seconds",
            "From a streamed request to the first words of a reasoning.",
            [],
            registry,
        )
        self._step = _histogram("whylabel_step_seconds", "One step of writing reasonings.", [], registry)
        self._cancelled = Counter(
            "whylabel_cancelled", "Requests that were taken back, by cause.", ["cause"], registry=registry
        )
        self._predictions = Counter(
            "whylabel_predictions",
            "Predictions by label, mode and status.",
            ["label", "mode", "status"],
            registry=registry,
        )
        self._depths: list[Callable[[], int]] = []
        self._depth.set_function(lambda: sum(depth() for depth in self._depths))
        self._lost = Counter("whylabel_engine_lost", "Engines that ended by themselves.", registry=registry)

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Let what a function returns be a part of the depth of the queue."""
        self._depths.append(depth)

    def request(self, _method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._duration.labels(route).observe(seconds)

    def predicted(self, prediction: dict[str, Any] | None, mode: str, labels: int, several: bool) -> None:
        """Count a prediction of a model with so many labels, of which a text may have several."""
        label = "" if prediction is None or several or labels > _MOST_LABELS else prediction["label"]
        status = "failed" if prediction is None else prediction["status"]
        self._predictions.labels(label, mode, status).inc()

    def waited(self, seconds: float) -> None:
        """Take note of how long a text waited."""
        self._wait.observe(seconds)

    def first_token(self, seconds: float) -> None:
        """Take note of how long a streamed request waited for its first words."""
        self._first.observe(seconds)

    def steps(self, seconds: Iterable[float]) -> None:
        """Take note of how long steps of writing took."""
        for one in seconds:
            self._step.observe(one)

    def cancelled(self, cause: Cancelled) -> None:
        """Count a request that was taken back."""
        self._cancelled.labels(cause).inc()

    def engine_lost(self) -> None:
        """Count an engine that ended by itself."""
        self._lost.inc()

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self._registry)


def _histogram(name: str, what: str, labels: list[str], registry: CollectorRegistry) -> Histogram:
    return Histogram(name, what, labels, registry=registry, buckets=_SECONDS)
