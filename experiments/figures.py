"""The figures of `docs/results.md`, as SVG that is the same whenever the results are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot
from results import Estimate, Experiment

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "whylabel", "svg.fonttype": "none", "font.size": 10})

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")
MODES_APART = 0.02


def against_flops(experiment: Experiment) -> str:
    """Draw accuracy against training FLOPs for each setting, as SVG."""
    settings = experiment.settings
    figure, axes = pyplot.subplots(
        1, max(1, len(settings)), figsize=(7 * max(1, len(settings)), 4), squeeze=False
    )
    for axis, setting in zip(axes[0], settings, strict=False):
        trials = experiment.trials(setting)
        points = sorted(
            (
                (float(np.mean(own.flops)), own.accuracy())
                for own in (experiment.series(setting, trial, "baseline") for trial in trials)
            ),
        )
        _errorbar(axis, points, "label alone", "-o", "#444444")
        for colour, trial in zip(COLOURS, trials, strict=False):
            modes = zip("sD^v", experiment.models(setting, trial), strict=False)
            for place, (marker, model) in enumerate(modes, start=1):
                own = experiment.series(setting, trial, model)
                name = f"{trial}, {model.removeprefix('classifier ')}"
                # Side by side: modes of one model cost the same training.
                flops = float(np.mean(own.flops)) * (1 + MODES_APART * place)
                _errorbar(axis, [(flops, own.accuracy())], name, marker, colour)
        seeds = len(experiment.seeds(setting, trials[0]))
        axis.set_title(f"{setting} ({seeds} seed{'s' if seeds > 1 else ''})")
        axis.set_xlabel("training FLOPs")
        axis.set_ylabel("accuracy, %")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    figure.tight_layout()
    return _svg(figure)


def _errorbar(axis: Any, points: Sequence[tuple[float, Estimate]], name: str, form: str, colour: str) -> None:
    places = [place for place, _ in points]
    means = [100 * mean for _, (mean, _, _) in points]
    spans = [
        [100 * (mean - low) for _, (mean, low, _) in points],
        [100 * (high - mean) for _, (mean, _, high) in points],
    ]
    axis.errorbar(
        places, means, yerr=spans, fmt=form, label=name, color=colour, capsize=3, markersize=5, alpha=0.9
    )


def _svg(figure: Any) -> str:

    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return "\n".join(line.rstrip() for line in content.getvalue().splitlines()) + "\n"
