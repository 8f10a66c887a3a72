"""The results of an experiment, as the page shows them: a mean over the seeds and a 95 % interval.

Where there are three seeds or more, an interval is Student's t over the seeds; with fewer it is a bootstrap over the
rows, which says nothing of other seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from data_sets import known_data_sets
from run import HERE, read_results
from scipy import stats

SEEDS_FOR_T = 3
RESAMPLES = 10_000
MODES = ("fast", "reasoned", "blend", "adaptive")

Estimate = tuple[float, float, float]
"""Mean, and the ends of its 95 % interval."""


@dataclass(frozen=True)
class Series:
    """What one model did in one setting, a value for each seed."""

    right: tuple[np.ndarray, ...]
    macro_f1: tuple[float, ...]
    flops: tuple[float, ...]
    seconds_per_row: tuple[float, ...]
    negative_log_likelihood: tuple[float, ...]

    def accuracy(self) -> Estimate:
        """Return the mean over the seeds and its 95 % interval."""
        return interval(self.right)

    def minus(self, other: Series) -> Estimate:
        """Return by how much this model is more accurate on the same rows, and the 95 % interval."""
        return interval([own - its for own, its in zip(self.right, other.right, strict=True)])


def interval(rows: Sequence[np.ndarray]) -> Estimate:
    """Return the mean over seeds of the mean over rows, with its 95 % interval."""
    means = np.array([seed.mean() for seed in rows])
    if len(means) >= SEEDS_FOR_T:
        return over(means)
    draw = np.random.default_rng(13)
    drawn = np.mean(
        [seed[draw.integers(len(seed), size=(RESAMPLES, len(seed)))].mean(axis=1) for seed in rows], axis=0
    )
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(means.mean()), float(low), float(high)


def over(means: np.ndarray) -> Estimate:
    """Return the mean of several means, and the 95 % interval of Student's t."""
    mean = float(means.mean())
    half = float(stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means)))
    return mean, mean - half, mean + half


class Experiment:
    """The results of one folder, on validation rows or on the test split."""

    def __init__(self, name: str, split: str = "validation") -> None:
        self.plan = yaml.safe_load((HERE / name / "trials.yaml").read_text(encoding="utf-8"))
        self._results: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for result in read_results(HERE / name / "results.jsonl"):
            if result["split"] == split and "scores" in result:
                self._results.setdefault((result["setting"], result["trial"]), []).append(result)
        self.settings = [one for one in self.plan["settings"] if any(key[0] == one for key in self._results)]

    def trials(self, setting: str) -> list[str]:
        """Return the trials of a setting that have results."""
        return [name for name in self.plan["trials"] if (setting, name) in self._results]

    def series(self, setting: str, trial: str, model: str, seeds: Iterable[int] | None = None) -> Series:
        """Return a model's scores: `baseline`, `classifier MODE` or a floor."""
        found = self._of(setting, trial, seeds)
        trained = model.split()[0]
        return Series(
            tuple(np.array([int(one) for one in result["right"][model]]) for result in found),
            tuple(result["scores"][model]["macro_f1"] for result in found),
            tuple(result.get("spent", {}).get(trained, {}).get("flops", float("nan")) for result in found),
            tuple(result["scores"][model]["seconds_per_row"] for result in found),
            tuple(result["scores"][model]["negative_log_likelihood"] for result in found),
        )

    def _of(self, setting: str, trial: str, seeds: Iterable[int] | None = None) -> list[dict[str, Any]]:
        """Return a trial's results in the order of the seeds, of some seeds or of all."""
        found = sorted(self._results[setting, trial], key=lambda result: result["seed"])
        return found if seeds is None else [result for result in found if result["seed"] in set(seeds)]

    def ahead(self, setting: str, trial: str, model: str) -> Estimate:
        """Return by how much a model of a trial is more accurate than the trial's baseline."""
        return self.series(setting, trial, model).minus(self.series(setting, trial, "baseline"))

    def likelier(self, setting: str, trial: str, model: str) -> float:
        """Return how many nats more than the trial's baseline a model of it gives to the true label, in the mean."""
        own, its = (self.series(setting, trial, name) for name in (model, "baseline"))
        return float(np.mean(its.negative_log_likelihood) - np.mean(own.negative_log_likelihood))

    def ahead_of_all(self, trial: str, model: str, among: Sequence[str] | None = None) -> Estimate:
        """Return the mean of `ahead` over the data sets of some settings, default all."""
        return self._over_data_sets(trial, among, lambda setting: self.ahead(setting, trial, model)[0])

    def likelier_of_all(self, trial: str, model: str, among: Sequence[str] | None = None) -> Estimate:
        """Return the mean of `likelier` over the data sets of some settings, default all."""
        return self._over_data_sets(trial, among, lambda setting: self.likelier(setting, trial, model))

    def _over_data_sets(
        self, trial: str, among: Sequence[str] | None, value: Callable[[str], float]
    ) -> Estimate:
        """Return the mean over data sets of the mean over settings, and its 95 % interval.

        That is Student's t over the data sets: settings of one share their rows, and are not independent.
        """
        found: dict[str, list[float]] = defaultdict(list)
        for setting in among or self.settings:
            if trial in self.trials(setting):
                found[self.data(setting)].append(value(setting))
        return over(np.array([np.mean(values) for values in found.values()]))

    def steps(self, setting: str, trial: str, seeds: Iterable[int] | None = None) -> tuple[np.ndarray, ...]:
        """Return the steps that each row's label takes, for each seed; nothing where the data does not say."""
        found = self._of(setting, trial, seeds)
        return tuple(np.array(result["steps"]) for result in found if "steps" in result)

    def right_sentences(
        self, setting: str, trial: str, model: str, seeds: Iterable[int] | None = None
    ) -> tuple[np.ndarray, ...]:
        """Return which share of each row's sentences a mode wrote rightly, for each seed; NaN: it is withheld."""
        found = (result["right_sentences"][model] for result in self._of(setting, trial, seeds))
        return tuple(np.array(shares, dtype=float) for shares in found)

    def is_control(self, trial: str) -> bool:
        """Return whether a trial puts something else in the place of the reasonings."""
        return any(override.startswith("classifier.control=") for override in self.plan["trials"][trial])

    def seeds(self, setting: str, trial: str) -> set[int]:
        """Return the seeds that a trial was run with."""
        return {result["seed"] for result in self._results.get((setting, trial), ())}

    def data(self, setting: str) -> str:
        """Return the data set of a setting."""
        return str(self.plan["settings"][setting]["data"])

    def rows_per_label(self, setting: str) -> float:
        """Return the training texts of a label, in the mean."""
        rows = next(
            results[0]["rows"]["train"] for key, results in self._results.items() if key[0] == setting
        )
        return float(rows / self.labels(setting))

    def labels(self, setting: str) -> int:
        """Return how many labels the data set of a setting has."""
        return int(known_data_sets()[self.data(setting)]["labels"])

    def models(self, setting: str, trial: str) -> list[str]:
        """Return the classifier's modes, in the order of the page."""
        scores: Mapping[str, Any] = self._results[setting, trial][0]["scores"]
        return [name for mode in MODES if (name := f"classifier {mode}") in scores]

    def matched(self, trial: str) -> str:
        """Return the trial whose baseline took as many FLOPs as this trial's classifier."""
        return str(self.plan.get("against", {}).get(trial, trial))
