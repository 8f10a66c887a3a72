"""What a run's stages took: floating-point operations, tokens, seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage took. None is not known: of what a reasoner writes, no operations are counted.

    `flops` are counted from the model's shape (`models/flops.py`). `tokens` are those computed in training, or
    written. `seconds` are those of the clock, on the machine that `run.json` names.
    """

    flops: float | None
    tokens: int | None
    seconds: float | None


def stage_costs(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, StageCost]:
    """Return the cost of each stage from its metrics, in their order; those without any have no entry.

    Metrics of stage 1 have the figures of its training in an entry of its own. Rounds of self-training count as part
    of the classifier's training where their figures were kept.
    """
    return {stage: _cost(found) for stage, found in metrics.items() if found}


def _cost(metrics: Mapping[str, Any]) -> StageCost:
    metrics = metrics.get("training") or metrics
    rounds = metrics.get("self_training") or []

    def total(key: str) -> Any:
        values = [one[key] for one in (metrics, *rounds) if isinstance(one.get(key), int | float)]
        return sum(values) if values else None

    return StageCost(total("flops"), total("tokens"), total("seconds"))
