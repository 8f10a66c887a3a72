"""What training and predictions cost, and accuracy against that cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from whylabel.report.charts import Axis, axis_over, models_of
from whylabel.report.formats import is_number
from whylabel.report.verdict import model_name

_STAGES = {
    "train-reasoner": "Reasoner",
    "augment": "Reasonings",
    "train-baseline": "Baseline",
    "train-classifier": "Classifier",
}
_MEASURES = {"accuracy": "Accuracy", "micro_f1": "Micro-F1"}


@dataclass(frozen=True, slots=True)
class Priced:
    """A model in one mode: its score, and the time that a text takes. `x` and `y` are percent of the picture."""

    name: str
    kind: str
    number: int
    score: float
    interval: Any
    seconds: Any
    """The mean."""
    p50: Any
    p95: Any
    tokens: Any
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What the report says of cost. `ticks` are (position in percent, time in words) on a logarithmic scale."""

    measure: str
    priced: tuple[Priced, ...]
    axis: Axis
    ticks: tuple[tuple[float, str], ...]
    stages: tuple[tuple[str, Mapping[str, Any]], ...]


def costs_of(evaluation: Mapping[str, Any]) -> Costs | None:
    """Return the costs in `evaluation/metrics.json`; None if no model has both a score and a time."""
    classifier = evaluation.get("classifier") or evaluation.get("baseline") or {}
    key = next((key for key in _MEASURES if is_number(classifier.get(key))), None)
    found = [] if key is None else [one for one in _models(evaluation) if _has_cost(one[2], key)]
    if key is None or not found:
        return None
    logs = [math.log10(model["cost"]["seconds_per_row"]) for _, _, model in found]
    low, high = math.floor(min(logs)), math.floor(max(logs)) + 1
    axis = axis_over([model[key] for _, _, model in found], 0.0, 1.0)
    priced = []
    for number, ((name, kind, model), log) in enumerate(zip(found, logs, strict=True), start=1):
        cost = model["cost"]
        x, y = 100 * (log - low) / (high - low), 100 - axis.at(model[key])
        priced.append(
            Priced(
                name,
                kind,
                number,
                model[key],
                model.get(f"{key}_ci95"),
                cost["seconds_per_row"],
                cost.get("seconds_p50"),
                cost.get("seconds_p95"),
                cost.get("tokens_per_row"),
                round(x, 2),
                round(y, 2),
            )
        )
    ticks = tuple((100 * (power - low) / (high - low), _time(power)) for power in range(low, high + 1))
    spent = (evaluation.get("cost") or {}).get("stages") or {}
    stages = tuple((_STAGES.get(stage, stage), cost) for stage, cost in spent.items() if cost)
    return Costs(_MEASURES[key], tuple(priced), axis, ticks, stages)


def _models(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield (name, kind, scores) of floors, baseline, and the classifier in each of its modes."""
    models = models_of(evaluation)
    modes = {mode: model for mode, model in (evaluation.get("modes") or {}).items() if model}
    classifier = models.pop("classifier", None)
    for name, model in models.items():
        yield model_name(name, model), name, model
    if len(modes) > 1:
        for mode, model in modes.items():
            yield f"Classifier, {mode}", "classifier", model
    elif classifier is not None:
        yield model_name("classifier", classifier), "classifier", classifier


def _time(power: int) -> str:
    """Return a power of ten of seconds as people write it."""
    unit, seconds = next(unit for unit in (("s", 0), ("ms", -3), ("µs", -6), ("ns", -9)) if power >= unit[1])
    return f"{10 ** (power - seconds)}\u00a0{unit}"


def _has_cost(model: Mapping[str, Any], key: str) -> bool:
    seconds = (model.get("cost") or {}).get("seconds_per_row")
    return is_number(model.get(key)) and is_number(seconds) and seconds > 0
