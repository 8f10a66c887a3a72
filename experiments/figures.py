"""The figures of `docs/results.md`, as SVG that is the same whenever the results are."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from results import Estimate, Experiment

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "whylabel", "svg.fonttype": "none", "font.size": 10})

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")
LABEL_ALONE = "#444444"
MARKERS = {
    "classifier fast": "s",
    "classifier reasoned": "D",
    "classifier blend": "^",
    "classifier adaptive": "v",
}
APART = 0.02
"""Points that share a place are drawn side by side, so many parts of it from each other."""


def against_labels(experiment: Experiment) -> str:
    """Draw accuracy against the training texts of a label, a panel a data set of several settings, as SVG."""
    counts = Counter(experiment.data(setting) for setting in experiment.settings)
    names = [name for name, count in counts.items() if count > 1] or list(counts)
    trials = list(experiment.plan["trials"])
    figure, axes = _panels(len(names))
    for axis, name in zip(axes, names, strict=True):
        settings = [setting for setting in experiment.settings if experiment.data(setting) == name]
        lines: dict[tuple[str, str], list[tuple[float, Estimate]]] = {}
        for setting in settings:
            for trial in experiment.trials(setting):
                for model in experiment.models(setting, trial):
                    point = (
                        experiment.rows_per_label(setting),
                        experiment.series(setting, trial, model).accuracy(),
                    )
                    lines.setdefault((trial, model), []).append(point)
        budgets = {experiment.rows_per_label(setting): _budgets(experiment, setting) for setting in settings}
        most = [(place, found[-1][1]) for place, found in budgets.items()]
        least = [(place, found[0][1]) for place, found in budgets.items()]
        which = "" if least == most else ", the most training"
        _errorbar(axis, most, f"label alone{which}", "-o", LABEL_ALONE)
        if least != most:
            _errorbar(axis, least, "label alone, the least training", "--o", LABEL_ALONE)
        for place, ((trial, model), points) in enumerate(lines.items(), start=1):
            moved = [(x * (1 + APART * place), accuracy) for x, accuracy in points]
            colour = trials.index(trial) if len(trials) > 1 else list(MARKERS).index(model)
            shown = _name(trial if len(trials) > 1 else "", model)
            _errorbar(axis, moved, shown, f"-{MARKERS[model]}", COLOURS[colour % len(COLOURS)])
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(ScalarFormatter())
        _finish(axis, name, "training texts of a label", "accuracy, %")
    return _svg(figure)


def against_flops(experiment: Experiment) -> str:
    """Draw accuracy against training FLOPs for each setting, as SVG."""
    figure, axes = _panels(len(experiment.settings))
    colours = dict(zip(experiment.plan["trials"], COLOURS, strict=False))
    for axis, setting in zip(axes, experiment.settings, strict=True):
        _errorbar(axis, _budgets(experiment, setting), "label alone", "-o", LABEL_ALONE)
        for trial in experiment.trials(setting):
            for place, model in enumerate(experiment.models(setting, trial), start=1):
                own = experiment.series(setting, trial, model)
                # Modes of one model cost the same training.
                flops = float(np.mean(own.flops)) * (1 + APART * place)
                _errorbar(
                    axis, [(flops, own.accuracy())], _name(trial, model), MARKERS[model], colours[trial]
                )
        _finish(axis, f"{setting} ({_seeds(experiment, setting)})", "training FLOPs", "accuracy, %")
    return _svg(figure)


def beside_label_alone(experiment: Experiment) -> str:
    """Draw by how many points each trial is ahead of its baseline, a row a trial, a panel a setting, as SVG."""
    rows = max(len(experiment.trials(setting)) for setting in experiment.settings)
    figure, axes = _panels(len(experiment.settings), height=1.5 + 0.45 * rows)
    for axis, setting in zip(axes, experiment.settings, strict=True):
        trials = experiment.trials(setting)
        for colour, model in zip(COLOURS, MARKERS, strict=False):
            points = [
                (
                    place,
                    experiment.series(setting, trial, model).minus(
                        experiment.series(setting, trial, "baseline")
                    ),
                )
                for place, trial in enumerate(trials)
                if model in experiment.models(setting, trial)
            ]
            if points:
                offset = 0.12 * (list(MARKERS).index(model) - 1.5)
                moved = [(place + offset, difference) for place, difference in points]
                _errorbar(axis, moved, _name("", model), MARKERS[model], colour, across=True)
        axis.axvline(0, color=LABEL_ALONE, linewidth=1)
        seeds = [len(experiment.seeds(setting, trial)) for trial in trials]
        axis.set_yticks(range(len(trials)), _counted(trials, seeds))
        axis.set_ylim(len(trials) - 0.5, -0.5)
        _finish(axis, f"{setting} ({_seeds(experiment, setting)})", "points ahead of the label alone", "")
    return _svg(figure)


def differences(experiment: Experiment, trial: str) -> str:
    """Draw by how many points each mode of a trial is ahead of the label alone, a row a setting, as SVG."""
    settings = [setting for setting in experiment.settings if trial in experiment.trials(setting)]
    seeds = [len(experiment.seeds(setting, trial)) for setting in settings]
    names = [*_counted(settings, seeds), "mean of the data sets"]
    figure, axes = _panels(1, height=1.5 + 0.45 * len(names))
    models = [model for model in MARKERS if model in experiment.models(settings[0], trial)]
    for place, (colour, model) in enumerate(zip(COLOURS, models, strict=False)):
        found = [experiment.ahead(setting, trial, model) for setting in settings]
        points = [*found, experiment.ahead_of_all(trial, model)]
        moved = [(row + 0.15 * (place - 1.5), difference) for row, difference in enumerate(points)]
        _errorbar(axes[0], moved, _name("", model), MARKERS[model], colour, across=True)
    axes[0].axvline(0, color=LABEL_ALONE, linewidth=1)
    axes[0].axhline(len(settings) - 0.5, color=LABEL_ALONE, linewidth=0.5)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    _finish(axes[0], "", "points ahead of the label alone at the same training FLOPs", "")
    return _svg(figure)


def where_it_pays(experiments: Mapping[str, Experiment]) -> str:
    """Draw by how many points a trial is ahead of the label alone when it reasons, in two panels, as SVG.

    The first is by how many steps a label takes; a label that is read off a text takes none, and such data sets stand
    side by side, around 0. The second is by how far the label alone comes from chance (0) to no errors (1).
    `experiments` by the name of the trial.
    """
    every = [
        (trial, experiment, setting)
        for trial, experiment in experiments.items()
        for setting in experiment.settings
        if trial in experiment.trials(setting) and "classifier reasoned" in experiment.models(setting, trial)
    ]
    read_off = [setting for trial, experiment, setting in every if not experiment.steps(setting, trial)]
    by_steps: dict[str, list[tuple[float, Estimate]]] = {}
    by_label_alone: dict[str, list[tuple[float, Estimate]]] = {}
    for trial, experiment, setting in every:
        steps = experiment.steps(setting, trial)
        if steps:
            place = float(np.mean(np.concatenate(steps)))
        else:
            place = 3 * APART * (read_off.index(setting) - (len(read_off) - 1) / 2)
        chance = 1 / experiment.labels(setting)
        alone = (experiment.series(setting, trial, "baseline").accuracy()[0] - chance) / (1 - chance)
        ahead = experiment.ahead(setting, trial, "classifier reasoned")
        by_steps.setdefault(experiment.data(setting), []).append((place, ahead))
        by_label_alone.setdefault(experiment.data(setting), []).append((alone, ahead))
    figure, axes = _panels(2)
    for axis, points in zip(axes, (by_steps, by_label_alone), strict=True):
        for number, (name, found) in enumerate(points.items()):
            _errorbar(axis, found, name, "osD^v<>P"[number % 8], COLOURS[number % len(COLOURS)])
        axis.axhline(0, color=LABEL_ALONE, linewidth=1)
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    up = "points ahead of the label alone"
    _finish(axes[0], "", "steps that a label takes, in the mean (0: it is read off the text)", up)
    _finish(axes[1], "", "the label alone, from chance (0) to no errors (1)", up)
    axes[0].get_legend().remove()
    return _svg(figure)


def against_cost(experiment: Experiment, trial: str) -> str:
    """Draw what a trial's modes do against the time they take for a text, that of the label alone being 1, as SVG."""
    settings = [setting for setting in experiment.settings if trial in experiment.trials(setting)]
    figure, axes = _panels(len(settings))
    for axis, setting in zip(axes, settings, strict=True):
        baseline = experiment.series(setting, trial, "baseline")
        _errorbar(axis, [(1.0, baseline.accuracy())], "label alone", "o", LABEL_ALONE)
        for colour, model in zip(COLOURS, experiment.models(setting, trial), strict=False):
            own = experiment.series(setting, trial, model)
            cost = float(np.mean(np.array(own.seconds_per_row) / np.array(baseline.seconds_per_row)))
            _errorbar(axis, [(cost, own.accuracy())], _name("", model), MARKERS[model], colour)
        _finish(
            axis,
            f"{setting}, {trial}",
            "time for a text, label alone = 1",
            "accuracy, %",
        )
    return _svg(figure)


def _budgets(experiment: Experiment, setting: str) -> list[tuple[float, Estimate]]:
    """Return training FLOPs and accuracy of the label alone at each of its budgets, the smallest first."""
    series = (experiment.series(setting, trial, "baseline") for trial in experiment.trials(setting))
    return sorted((float(np.mean(own.flops)), own.accuracy()) for own in series)


def _counted(names: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """Return the names with their number of seeds in brackets, where it is not the same for all."""
    if len(set(seeds)) == 1:
        return list(names)
    return [f"{name} ({count})" for name, count in zip(names, seeds, strict=True)]


def _name(trial: str, model: str) -> str:
    mode = model.removeprefix("classifier ")
    return f"{trial}, {mode}" if trial else mode


def _seeds(experiment: Experiment, setting: str) -> str:
    numbers = sorted({len(experiment.seeds(setting, trial)) for trial in experiment.trials(setting)})
    found = " to ".join(str(number) for number in dict.fromkeys((numbers[0], numbers[-1])))
    return f"{found} seed{'' if found == '1' else 's'}"


def _panels(number: int, height: float = 4) -> tuple[Any, Sequence[Any]]:
    """Return panels side by side, two in a row."""
    columns = min(number, 2)
    rows = math.ceil(number / columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(7 * columns, height * rows), squeeze=False)
    for unused in axes.flat[number:]:
        unused.remove()
    return figure, list(axes.flat)[:number]


def _errorbar(
    axis: Any,
    points: Sequence[tuple[float, Estimate]],
    name: str,
    form: str,
    colour: str,
    *,
    across: bool = False,
) -> None:
    """Draw estimates at their places: upwards, or across with the places from top to bottom."""
    places = [place for place, _ in points]
    means = [100 * mean for _, (mean, _, _) in points]
    spans = [
        [100 * (mean - low) for _, (mean, low, _) in points],
        [100 * (high - mean) for _, (mean, _, high) in points],
    ]
    drawn = {"fmt": form, "label": name, "color": colour, "capsize": 3, "markersize": 5, "alpha": 0.9}
    if across:
        axis.errorbar(means, places, xerr=spans, **drawn)
    else:
        axis.errorbar(places, means, yerr=spans, **drawn)


def _finish(axis: Any, title: str, across: str, up: str) -> None:
    axis.set_title(title)
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)


def _svg(figure: Any) -> str:
    figure.tight_layout()
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return "\n".join(line.rstrip() for line in content.getvalue().splitlines()) + "\n"
