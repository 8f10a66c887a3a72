"""Calibrated probabilities: a temperature for each mode, and the other settings that are fitted on validation rows.

Source of the temperature: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599. All functions
take arrays of log-scores with labels in the last axis; a row without scores is NaN.
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
"""Nothing is fitted on fewer validation rows."""

_LOG_TEMPERATURES = (-3.0, 3.0)
_BY_COST: tuple[Mode, ...] = ("fast", "reasoned", "blend")


@dataclass(frozen=True, slots=True)
class Temperature:
    """The fitted temperature: p is proportional to exp(log-score / temperature).

    `nll_before` and `nll_after` are the mean negative log-likelihoods in nats of the `n` rows that it was fitted
    on, at temperature 1 and at this one.
    """

    temperature: float
    n: int
    nll_before: float
    nll_after: float


@dataclass(frozen=True, slots=True)
class Adaptive:
    """`adaptive` reasons if the two best labels differ by less than `threshold`: a `share` of the validation rows."""

    threshold: float
    share: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The settings fitted on validation rows. If empty, nothing was fitted and every temperature is 1."""

    temperatures: Mapping[Mode, Temperature] = field(default_factory=dict)
    adaptive: Adaptive | None = None
    blend_weight: float | None = None
    """Weight of the reasoned log-probabilities in `blend`; the fast ones have 1 minus this weight."""

    def log_probabilities(self, mode: Mode, log_scores: Floats) -> Floats:
        """Return the mode's calibrated log-probabilities over the closed set; the ranking of labels never changes."""
        fitted = self.temperatures.get(mode)
        return tempered(log_scores, fitted.temperature if fitted else 1.0)

    def blended(self, fast: Floats, reasoned: Floats) -> Floats:
        """Return the log-scores of `blend`: the interpolated calibrated log-probabilities of both."""
        assert self.blend_weight is not None
        return interpolated(
            self.log_probabilities("fast", fast),
            self.log_probabilities("reasoned", reasoned),
            self.blend_weight,
        )

    def is_close(self, fast: Floats) -> NDArray[np.bool_]:
        """Return the rows where `adaptive` reasons: the calibrated probabilities of the two best labels are close."""
        assert self.adaptive is not None
        return np.asarray(margins(self.log_probabilities("fast", fast)) < self.adaptive.threshold)

    def to_json(self) -> dict[str, Any] | None:
        """Return the value of `calibration` in `whylabel.json`: an entry for each mode."""
        found: dict[str, dict[str, Any]] = {mode: asdict(fit) for mode, fit in self.temperatures.items()}
        if self.adaptive is not None:
            found["adaptive"] = asdict(self.adaptive)
        if self.blend_weight is not None:
            found.setdefault("blend", {})["weight"] = self.blend_weight
        return found or None

    @classmethod
    def from_json(cls, entries: Mapping[str, Mapping[str, Any]] | None) -> Calibration:
        """Read it back. Raises `KeyError`, `TypeError` or `ValueError` if the value is invalid."""
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
    """Return the probability of the best label minus that of the second best."""
    best = np.sort(np.exp(log_probabilities), axis=-1)
    return np.asarray(best[..., -1] - best[..., -2])


def calibrate(scores: Mapping[Mode, Floats], gold: Ints, adaptive_share: float) -> Calibration:
    """Fit a temperature for every mode; with fast and reasoned scores, also fit `blend` and `adaptive`.

    `scores` are the log-scores of validation rows, shape (rows, labels); a mode may have only the first rows. `gold`
    are the rows' labels. A mode with fewer than `LEAST_ROWS` scored rows gets no temperature.
    """
    temperatures = {}
    for mode, rows in scores.items():
        scored = _scored(rows)
        if scored.sum() >= LEAST_ROWS:
            temperatures[mode] = fit_temperature(rows[scored], gold[: len(rows)][scored])
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
    """Return the mode (fast, reasoned or blend) with the highest likelihood of the validation labels after
    calibration.

    A more expensive mode must win by more than one standard error of the difference: `blend` can imitate the other
    two, so it never loses on the rows that it was fitted on.
    """
    both = _scored(scores["fast"]) & _scored(scores["reasoned"])
    rows: dict[Mode, Floats] = {
        "fast": scores["fast"][both],
        "reasoned": scores["reasoned"][both],
        "blend": calibration.blended(scores["fast"][both], scores["reasoned"][both]),
    }
    losses = {
        mode: -_log_probability_of_gold(calibration.log_probabilities(mode, rows[mode]), gold[both])
        for mode in _BY_COST
    }
    best: Mode = "fast"
    for mode in _BY_COST[1:]:
        gains = losses[best] - losses[mode]
        if gains.mean() > gains.std(ddof=1) / math.sqrt(len(gains)):
            best = mode
    return best


def fit_temperature(log_scores: Floats, gold: Ints) -> Temperature:
    """Return the temperature with the highest likelihood of the gold labels.

    ln T has the prior N(0, 1), which counts like one row. Without it, T would go to 0 if all of a few rows are
    correct.
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
    """Return the weight of the reasoned log-probabilities with the highest likelihood (a convex problem)."""
    return _minimum(lambda weight: nll(tempered(interpolated(fast, reasoned, weight), 1.0), gold), 0.0, 1.0)


def fit_adaptive(fast: Floats, reasoned: Floats, gold: Ints, share: float) -> Adaptive:
    """Return the margin below which `adaptive` reasons: the one with the best accuracy, then with the fewest rows.

    At most `share` of the rows are below it; rows with the same margin are treated alike.
    """
    gaps = margins(fast)
    order = np.argsort(gaps, kind="stable")
    gains = (reasoned.argmax(axis=-1) == gold).astype(int) - (fast.argmax(axis=-1) == gold)
    gained = np.concatenate([[0], np.cumsum(gains[order])])
    # The threshold lies midway between two neighbours; margins are between 0 and 1.
    edges = np.concatenate([[-1.0], gaps[order], [2.0]])
    allowed = [m for m in range(int(share * len(gold)) + 1) if edges[m] < edges[m + 1]]
    most = max(allowed, key=lambda m: (gained[m], -m))
    threshold = 0.0 if most == 0 else float((edges[most] + edges[most + 1]) / 2)
    return Adaptive(threshold, most / len(gold))


def nll(log_probabilities: Floats, gold: Ints) -> float:
    """Return the mean negative log-likelihood of the gold labels, in nats."""
    return float(-_log_probability_of_gold(log_probabilities, gold).mean())


def _log_probability_of_gold(log_probabilities: Floats, gold: Ints) -> Floats:
    return np.asarray(log_probabilities[np.arange(len(gold)), gold])


def _scored(rows: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(rows).all(axis=-1))


def _minimum(loss: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import minimize_scalar

    return float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)
