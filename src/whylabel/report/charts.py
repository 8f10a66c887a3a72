"""Positions of the marks in interval plots and of bars; the templates only draw them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whylabel.report.formats import is_number
from whylabel.report.verdict import model_name

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_MOST_TICKS = 7
MANY_LABELS = 20
MOST_LABELS = 200
"""So many labels are listed at most; `metrics.json` has all."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A number line from `low` to `high` with round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Return the position of a value in percent of the width."""
        return round(100 * (value - self.low) / (self.high - self.low), 3)


@dataclass(frozen=True, slots=True)
class Mark:
    """A value with its interval on an axis; `kind` chooses the colour."""

    name: str
    kind: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class IntervalPlot:
    """Marks under one title on one axis."""

    title: str
    axis: Axis
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class ClassBars:
    """F1 of one label for both models, None if a model was not evaluated."""

    label: str
    support: int
    baseline: Mapping[str, Any] | None
    classifier: Mapping[str, Any] | None

    @property
    def difference(self) -> float | None:
        """Classifier minus baseline."""
        if self.baseline is None or self.classifier is None:
            return None
        return float(self.classifier.get("f1") or 0.0) - float(self.baseline.get("f1") or 0.0)


def axis_over(values: Sequence[float], lowest: float, highest: float) -> Axis:
    """Return the shortest axis with round steps that contains the values, within `lowest` to `highest`."""
    span = max(values) - min(values)
    step = next((step for step in _STEPS if span / step <= _MOST_TICKS - 2), _STEPS[-1])
    first, last = math.floor(min(values) / step + 1e-9), math.ceil(max(values) / step - 1e-9)
    if first == last:
        first, last = first - 1, last + 1
    first = max(first, math.floor(lowest / step + 1e-9))
    last = min(last, math.ceil(highest / step - 1e-9))
    ticks = tuple(round(step * position, 4) for position in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def models_of(evaluation: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the evaluated models by name: floors, rivals, baseline and classifier."""
    models = {**(evaluation.get("floors") or {}), **(evaluation.get("rivals") or {})}
    models |= {name: evaluation.get(name) for name in ("baseline", "classifier")}
    return {name: model for name, model in models.items() if model}


def modes_of(evaluation: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the classifier's scores by mode, the default first; empty if only one mode was evaluated."""
    modes = dict(evaluation.get("modes") or {})
    if len(modes) < 2:
        return {}
    default = (evaluation.get("classifier") or {}).get("mode")
    return dict(sorted(modes.items(), key=lambda item: (item[0] != default, _cost(item[1]))))


def _cost(model: Mapping[str, Any]) -> float:
    seconds = (model.get("cost") or {}).get("seconds_per_row")
    return seconds if is_number(seconds) else 0.0


def score_plots(evaluation: Mapping[str, Any]) -> tuple[IntervalPlot, ...]:
    """Return the plots of macro-F1 and of accuracy (micro-F1 if a text may have several labels)."""
    plots = []
    for title, key in (("Accuracy", "accuracy"), ("Micro-F1", "micro_f1"), ("Macro-F1", "macro_f1")):
        marks = [
            _mark(model_name(name, model), name, model.get(key), model.get(f"{key}_ci95"))
            for name, model in models_of(evaluation).items()
        ]
        plots.append(_plot(title, marks, 0.0, 1.0))
    return tuple(plot for plot in plots if plot)


def difference_plot(evaluation: Mapping[str, Any]) -> IntervalPlot | None:
    """Return the plot of classifier minus baseline, with zero on its axis; None if they were not compared."""
    paired = evaluation.get("paired") or {}
    marks = [
        _mark("Accuracy", "classifier", paired.get("difference"), paired.get("ci95")),
        _mark(
            "Micro-F1",
            "classifier",
            paired.get("micro_f1_difference"),
            paired.get("micro_f1_difference_ci95"),
        ),
        _mark(
            "Macro-F1",
            "classifier",
            paired.get("macro_f1_difference"),
            paired.get("macro_f1_difference_ci95"),
        ),
    ]
    return _plot("Classifier minus baseline, in points", marks, -1.0, 1.0, 0.0)


def class_bars(evaluation: Mapping[str, Any]) -> tuple[ClassBars, ...]:
    """Return each label's scores, in label order; with many labels, the largest differences first, and no others."""
    per_model = {
        name: (evaluation.get(name) or {}).get("per_class") or {} for name in ("baseline", "classifier")
    }
    labels = evaluation.get("labels") or list(per_model["classifier"] or per_model["baseline"])
    bars = []
    for label in labels:
        baseline, classifier = (per_model[name].get(label) for name in ("baseline", "classifier"))
        support = (classifier or baseline or {}).get("support") or 0
        bars.append(ClassBars(label, support, baseline, classifier))
    if len(bars) > MANY_LABELS:
        bars.sort(key=lambda bar: -abs(bar.difference or 0.0))
    return tuple(bar for bar in bars if bar.baseline or bar.classifier)[:MOST_LABELS]


def _mark(name: str, kind: str, value: Any, interval: Any) -> Mark | None:
    if not is_number(value):
        return None
    bounds = interval if isinstance(interval, list) and len(interval) == 2 else [value, value]
    low, high = (bound if is_number(bound) else value for bound in bounds)
    return Mark(name, kind, value, low, high)


def _plot(
    title: str, marks: Sequence[Mark | None], lowest: float, highest: float, *shown: float
) -> IntervalPlot | None:
    present = tuple(mark for mark in marks if mark)
    if not present:
        return None
    values = [*shown, *(x for mark in present for x in (mark.value, mark.low, mark.high))]
    return IntervalPlot(title, axis_over(values, lowest, highest), present)
