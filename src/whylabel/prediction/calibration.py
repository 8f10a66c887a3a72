"""Probabilities that mean what they say: a temperature for each mode, and what else is chosen on validation rows.

Source of the temperature: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599. Everything
here is about arrays of log-scores, labels in the last axis; a row that could not be scored is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whylabel.types import Mode

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_ROWS = 20
"""Nothing is chosen on fewer validation rows."""

_LOG_TEMPERATURES = (-3.0, 3.0)
_BY_COST: tuple[Mode, ...] = ("fast", "reasoned", "blend")


@dataclass(frozen=True, slots=True)
class Temperature:
    """p is proportional to exp(log-score / temperature); the likelihoods are those of the `n` rows it was fitted on.

    `nll_before` and `nll_after` are mean negative log-likelihoods in nats, at temperature 1 and at this one.
    """

    temperature: float
    n: int
    nll_before: float
    nll_after: float


@dataclass(frozen=True, slots=True)
class Adaptive:
    """`adaptive` reasons where the two best labels are less than `threshold` apart: a `share` of validation."""

    threshold: float
    share: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was chosen on validation rows. Empty: nothing was, and every temperature is 1."""

    temperatures: Mapping[Mode, Temperature] = field(default_factory=dict)
    adaptive: Adaptive | None = None
    blend_weight: float | None = None
    """Weight of the reasoned log-probabilities in `blend`; that of the fast ones is the rest."""

    def log_probabilities(self, mode: Mode, log_scores: Floats) -> Floats:
        """Return the mode's calibrated log-probabilities of the closed set: the order of labels never changes."""
        fitted = self.temperatures.get(mode)
        return tempered(log_scores, fitted.temperature if fitted else 1.0)

    def blended(self, fast: Floats, reasoned: Floats) -> Floats:
        """Return the log-scores of `blend`: the calibrated log-probabilities of both, interpolated."""
        assert self.blend_weight is not None
        return interpolated(
            self.log_probabilities("fast", fast),
            self.log_probabilities("reasoned", reasoned),
            self.blend_weight,
        )

    def is_close(self, fast: Floats) -> NDArray[np.bool_]:
        """Return where `adaptive` reasons: the calibrated probabilities of the two best labels are close."""
        assert self.adaptive is not None
        return np.asarray(margins(self.log_probabilities("fast", fast)) < self.adaptive.threshold)

    def to_json(self) -> dict[str, Any] | None:
        """Return what stands under `calibration` in `whylabel.json`: an entry for each mode."""
        found: dict[str, dict[str, Any]] = {mode: asdict(fit) for mode, fit in self.temperatures.items()}
        if self.adaptive is not None:
            found["adaptive"] = asdict(self.adaptive)
        if self.blend_weight is not None:
            found.setdefault("blend", {})["weight"] = self.blend_weight
        return found or None

    @classmethod
    def from_json(cls, entries: Mapping[str, Mapping[str, Any]] | None) -> Calibration:
        """Read it back. Raises `KeyError`, `TypeError` or `ValueError` if it is something else."""
        temperatures: dict[Mode, Temperature] = {}
        adaptive, weight = None, None
        for mode, entry in (entries or {}).items():
            values = {name: float(value) for name, value in entry.items()}
            if mode == "adaptive":
                adaptive = Adaptive(**values)
                continue
            weight = values.pop("weight", weight)
            if values:
                n = int(values.pop("n"))
                temperatures[mode] = Temperature(n=n, **values)  # type: ignore[index]
        return cls(temperatures, adaptive, weight)


def tempered(log_scores: Floats, temperature: float) -> Floats:
    """Return the log-probabilities, normalised over the labels, of log-scores divided by a temperature."""
    scaled = log_scores / temperature
    shifted = scaled - scaled.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def interpolated(fast: Floats, reasoned: Floats, weight: float) -> Floats:
    """Return (1 - weight) x fast + weight x reasoned."""
    return np.asarray((1 - weight) * fast + weight * reasoned)


def margins(log_probabilities: Floats) -> Floats:
    """Return by how much the most probable label is more probable than the second."""
    best = np.sort(np.exp(log_probabilities), axis=-1)
    return np.asarray(best[..., -1] - best[..., -2])


def calibrate(scores: Mapping[Mode, Floats], gold: Ints, adaptive_share: float) -> Calibration:
    """Choose a temperature for every mode, and for `blend` and `adaptive` where there are fast and reasoned scores.

    `scores` are the log-scores of validation rows, shape (rows, labels); those of a mode may be of the first rows
    alone. `gold` are the rows' labels. A mode with fewer than `LEAST_ROWS` rows that could be scored gets none.
    """
    temperatures = {}
    for mode, rows in scores.items():
        there = _scored(rows)
        if there.sum() >= LEAST_ROWS:
            temperatures[mode] = fit_temperature(rows[there], gold[: len(rows)][there])
    found = Calibration(temperatures)
    if not {"fast", "reasoned"} <= temperatures.keys():
        return found
    both = _scored(scores["fast"]) & _scored(scores["reasoned"])
    if both.sum() < LEAST_ROWS:
        return found
    gold = gold[both]
    fast = found.log_probabilities("fast", scores["fast"][both])
    reasoned = found.log_probabilities("reasoned", scores["reasoned"][both])
    weight = fit_weight(fast, reasoned, gold)
    temperatures["blend"] = fit_temperature(interpolated(fast, reasoned, weight), gold)
    return Calibration(temperatures, fit_adaptive(fast, reasoned, gold, adaptive_share), weight)


def default_mode(calibration: Calibration, scores: Mapping[Mode, Floats], gold: Ints) -> Mode:
    """Return the mode of fast, reasoned and blend that makes the validation labels most likely after calibration.

    A mode that costs more must win by more than one standard error of the difference: `blend` can imitate the other
    two, so it is never behind on the rows that it was fitted on.
    """
    both = _scored(scores["fast"]) & _scored(scores["reasoned"])
    rows: dict[Mode, Floats] = {
        "fast": scores["fast"][both],
        "reasoned": scores["reasoned"][both],
        "blend": calibration.blended(scores["fast"][both], scores["reasoned"][both]),
    }
    losses = {
        mode: -_of_gold(calibration.log_probabilities(mode, rows[mode]), gold[both]) for mode in _BY_COST
    }
    best: Mode = "fast"
    for mode in _BY_COST[1:]:
        gains = losses[best] - losses[mode]
        if gains.mean() > gains.std(ddof=1) / math.sqrt(len(gains)):
            best = mode
    return best


def fit_temperature(log_scores: Floats, gold: Ints) -> Temperature:
    """Return the temperature that makes the gold labels most likely.

    ln T has the prior N(0, 1), worth about one row: a few rows that are all right would else make it endless.
    """

    def loss(log_temperature: float) -> float:
        likelihood = nll(tempered(log_scores, math.exp(log_temperature)), gold)
        return likelihood + log_temperature**2 / (2 * len(gold))

    temperature = math.exp(_minimum(loss, *_LOG_TEMPERATURES))
    before, after = (nll(tempered(log_scores, value), gold) for value in (1.0, temperature))
    if after > before:
        temperature, after = 1.0, before
    return Temperature(temperature, len(gold), before, after)


def fit_weight(fast: Floats, reasoned: Floats, gold: Ints) -> float:
    """Return the weight of the reasoned log-probabilities that makes the gold labels most likely; it is convex."""
    return _minimum(lambda weight: nll(tempered(interpolated(fast, reasoned, weight), 1.0), gold), 0.0, 1.0)


def fit_adaptive(fast: Floats, reasoned: Floats, gold: Ints, share: float) -> Adaptive:
    """Return the margin below which rows are reasoned about: the fewest of those with the best accuracy.

    At most `share` of the rows are; rows with the same margin go together.
    """
    apart = margins(fast)
    order = np.argsort(apart, kind="stable")
    gains = (reasoned.argmax(axis=-1) == gold).astype(int) - (fast.argmax(axis=-1) == gold)
    gained = np.concatenate([[0], np.cumsum(gains[order])])
    # Between two neighbours the threshold is half-way; no margin is below 0 or above 1.
    edges = np.concatenate([[-1.0], apart[order], [2.0]])
    allowed = [m for m in range(int(share * len(gold)) + 1) if edges[m] < edges[m + 1]]
    most = max(allowed, key=lambda m: (gained[m], -m))
    threshold = 0.0 if most == 0 else float((edges[most] + edges[most + 1]) / 2)
    return Adaptive(threshold, most / len(gold))


def nll(log_probabilities: Floats, gold: Ints) -> float:
    """Return the mean negative log-likelihood of the gold labels, in nats."""
    return float(-_of_gold(log_probabilities, gold).mean())


def _of_gold(log_probabilities: Floats, gold: Ints) -> Floats:
    return np.asarray(log_probabilities[np.arange(len(gold)), gold])


def _scored(rows: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(rows).all(axis=-1))


def _minimum(loss: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import minimize_scalar

    return float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)
