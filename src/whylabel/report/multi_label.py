"""The verdict if a text may have several labels: F1 instead of accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from whylabel.report.charts import models_of
from whylabel.report.formats import count, is_number, percent, points
from whylabel.report.verdict import (
    Verdict,
    best_notes,
    difference_claim,
    interval_of,
    rate_notes,
    seed_note,
    seen_note,
    verdict,
)


def decides_by_label(evaluation: Mapping[str, Any]) -> bool:
    """Return whether `evaluation/metrics.json` is from a task with several labels per text."""
    return any("micro_f1" in model for model in models_of(evaluation).values())


def verdict_of(evaluation: Mapping[str, Any]) -> Verdict:
    """Return the verdict of `evaluation/metrics.json`, for both types of task."""
    return _verdict(evaluation) if decides_by_label(evaluation) else verdict(evaluation)


def _verdict(evaluation: Mapping[str, Any]) -> Verdict:
    """Return the verdict by micro-F1. A difference counts as shown if its paired bootstrap interval excludes 0."""
    models = {name: evaluation.get(name) or {} for name in ("classifier", "baseline")}
    paired = evaluation.get("paired") or {}
    notes = tuple(_notes(evaluation))
    if is_number(paired.get("micro_f1_difference")):
        low, high = interval_of(paired, "micro_f1_difference_ci95")
        figures = (
            f"micro-F1 {percent(models['classifier'].get('micro_f1'))} against"
            f" {percent(models['baseline'].get('micro_f1'))} (difference"
            f" {points(paired['micro_f1_difference'])} points, 95\u00a0% CI {points(low)} to {points(high)},"
            f" {count(paired.get('n'))} test texts)."
        )
        return Verdict(_claim(low, high), figures, notes)
    for name, model in models.items():
        if model:
            low, high = interval_of(model, "micro_f1_ci95")
            figures = (
                f"micro-F1 {percent(model.get('micro_f1'))} on {count(model.get('n'))} test texts"
                f" (95\u00a0% CI {percent(low)} to {percent(high)})."
            )
            return Verdict(f"Only the {name} has been evaluated", figures, notes)
    return Verdict("This run has not been evaluated yet", "")


def _claim(low: float | None, high: float | None) -> str:
    if is_number(low) and low > 0:
        return difference_claim(low)
    return difference_claim(high if is_number(high) and high < 0 else 0)


def _notes(evaluation: Mapping[str, Any]) -> Iterator[str]:
    if note := seen_note(evaluation):
        yield note
    if evaluation.get("paired"):
        yield seed_note()
    yield from best_notes(evaluation)
    floors = evaluation.get("floors") or {}
    names = [name for name in ("baseline", "classifier") if evaluation.get(name)]
    best = max((evaluation[name].get("micro_f1") or 0.0 for name in names), default=None)
    for name, sentence in (
        ("tfidf", "TF-IDF with a logistic regression for each label reaches"),
        ("majority", "Always giving the most frequent labels reaches"),
    ):
        floor = (floors.get(name) or {}).get("micro_f1")
        if best is not None and is_number(floor) and floor >= best:
            yield f"{sentence} micro-F1 {percent(floor)}, no less than the {' and the '.join(names)}."
    yield from rate_notes(evaluation)
