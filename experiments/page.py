"""Write the tables and figures of `docs/results.md` from the result files of the experiments.

    python experiments/page.py             # write them
    python experiments/page.py --check     # exit code 1 if the page does not show what the result files hold

The page's words are written by hand; what stands between `<!-- NAME -->` and `<!-- end -->` is written here.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from figures import (
    against_cost,
    against_flops,
    against_labels,
    beside_label_alone,
    differences,
    where_it_pays,
)
from results import Estimate, Experiment
from run import HERE, read_results

PAGE = HERE.parent / "docs" / "results.md"
FIGURES = HERE.parent / "docs" / "figures"
BLOCK = re.compile(r"(<!-- (?P<name>[a-z0-9-]+) -->\n)((?!<!-- ).)*(<!-- end -->)", re.DOTALL)


def comparison(experiment: Experiment) -> str:
    """Return the table of every trial and mode beside its baseline."""
    lines = [
        "| setting | trained on | mode | seeds | rows | accuracy | macro-F1 | baseline | difference | FLOPs |",
        "|---|---|---|---:|---:|---|---:|---:|---|---:|",
    ]
    for setting in experiment.settings:
        for trial in experiment.trials(setting):
            against = experiment.matched(trial)
            seeds = experiment.seeds(setting, trial) & experiment.seeds(setting, against)
            if not seeds:
                continue
            baseline = experiment.series(setting, against, "baseline", seeds)
            for model in experiment.models(setting, trial):
                own = experiment.series(setting, trial, model, seeds)
                cells = [
                    setting,
                    trial,
                    model.removeprefix("classifier "),
                    str(len(seeds)),
                    str(len(own.right[0])),
                    with_interval(own.accuracy()),
                    f"{100 * np.mean(own.macro_f1):.1f}",
                    f"{100 * baseline.accuracy()[0]:.1f}",
                    with_interval(own.minus(baseline), signed=True),
                    f"{np.mean(own.flops) / np.mean(baseline.flops):.2f}",
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ablation(experiment: Experiment, beside: Experiment, reference: str | None = None) -> str:
    """Return the table of every trial and mode beside its baseline, and beside the same mode of another trial.

    That one is the `reference` of the experiment `beside`, default the trial of the same name.
    """
    lines = [
        "| setting | trial | mode | seeds | accuracy | macro-F1 | minus label alone "
        f"| minus {reference or 'its like'} |",
        "|---|---|---|---:|---|---:|---|---|",
    ]
    for setting in experiment.settings:
        for trial in experiment.trials(setting):
            other = reference or trial
            seeds = experiment.seeds(setting, trial) & beside.seeds(setting, other)
            if not seeds:
                continue
            baseline = experiment.series(setting, trial, "baseline", seeds)
            for model in experiment.models(setting, trial):
                if model == "classifier adaptive":
                    continue  # it is one of two others, row by row
                own = experiment.series(setting, trial, model, seeds)
                difference = own.minus(beside.series(setting, other, model, seeds))
                cells = [
                    setting,
                    trial,
                    model.removeprefix("classifier "),
                    str(len(seeds)),
                    with_interval(own.accuracy()),
                    f"{100 * np.mean(own.macro_f1):.1f}",
                    with_interval(own.minus(baseline), signed=True),
                    with_interval(difference, signed=True),
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def beside_others(experiment: Experiment, trial: str) -> str:
    """Return the table of a trial's modes beside the label alone, TF-IDF and an encoder."""
    lines = [
        "| setting | model | seeds | rows | accuracy | macro-F1 | minus label alone |",
        "|---|---|---:|---:|---|---:|---|",
    ]
    for setting in experiment.settings:
        found = [(trial, model) for model in ("tfidf", "baseline", *experiment.models(setting, trial))]
        found.insert(1, ("encoder", "encoder"))
        for name, model in found:
            seeds = experiment.seeds(setting, trial) & experiment.seeds(setting, name)
            if not seeds:
                continue
            own = experiment.series(setting, name, model, seeds)
            difference = own.minus(experiment.series(setting, trial, "baseline", seeds))
            cells = [
                setting,
                "label alone" if model == "baseline" else model,
                str(len(seeds)),
                str(len(own.right[0])),
                with_interval(own.accuracy()),
                f"{100 * np.mean(own.macro_f1):.1f}",
                "" if model == "baseline" else with_interval(difference, signed=True),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def means(experiment: Experiment, trial: str) -> str:
    """Return the table of by how much a trial's modes are ahead: means over data sets, with as many texts and all."""

    def points(model: str, some: Sequence[str]) -> str:
        return with_interval(experiment.ahead_of_all(trial, model, some), signed=True)

    return by_size(experiment, trial, points)


def likelihoods(experiment: Experiment, trial: str) -> str:
    """Return the table of how many nats a trial's modes give the true label above the label alone, likewise."""

    def nats(model: str, some: Sequence[str]) -> str:
        mean, low, high = experiment.likelier_of_all(trial, model, some)
        return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")

    return by_size(experiment, trial, nats)


def by_size(experiment: Experiment, trial: str, cell: Callable[[str, Sequence[str]], str]) -> str:
    """Return a table of a trial's modes, with a column for the settings of each number of texts and one for all."""
    groups: dict[str, list[str]] = defaultdict(list)
    for setting in experiment.settings:
        labels = setting.rpartition("-")[2]
        groups["all texts" if labels == "all" else f"{labels} a class"].append(setting)
    groups["together"] = experiment.settings
    heads = [f"{name} ({len(set(map(experiment.data, some)))} data sets)" for name, some in groups.items()]
    lines = [f"| mode | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for model in experiment.models(experiment.settings[0], trial):
        cells = [cell(model, some) for some in groups.values()]
        lines.append(f"| {model.removeprefix('classifier ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def by_steps(experiment: Experiment) -> str:
    """Return the table of accuracy by the number of steps, and of how right the written steps are."""
    lines = [
        "| setting | trained on | steps | rows | label alone | reasoned | sentences right | all right "
        "| label right where all are | where not |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for setting in experiment.settings:
        for trial in experiment.trials(setting):
            mode, against = "classifier reasoned", experiment.matched(trial)
            if mode not in experiment.models(setting, trial) or not experiment.steps(setting, trial):
                continue
            if experiment.is_control(trial):
                continue
            seeds = experiment.seeds(setting, trial) & experiment.seeds(setting, against)
            steps, sentences, own, alone = (
                np.concatenate(values)
                for values in (
                    experiment.steps(setting, trial, seeds),
                    experiment.right_sentences(setting, trial, mode, seeds),
                    experiment.series(setting, trial, mode, seeds).right,
                    experiment.series(setting, against, "baseline", seeds).right,
                )
            )
            for number in np.unique(steps):
                these = steps == number
                shown = these & ~np.isnan(sentences)
                whole = shown & (sentences == 1)
                shares = (
                    alone[these],
                    own[these],
                    sentences[shown],
                    whole[shown],
                    own[whole],
                    own[shown & ~whole],
                )
                cells = [setting, trial, str(number), str(these.sum()), *map(percent, shares)]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def by_reasoner(experiment: str) -> str:
    """Return the table of how right the reasonings are that reasoners of their own rows wrote."""
    lines = [
        "| setting | reasoner | seed | written | rows | sentences right | all right |",
        "|---|---|---:|---|---:|---:|---:|",
    ]
    # A reasoner that was measured alone, and again with its classifier, is shown once.
    measured = {
        (result["setting"], result["trial"].partition(",")[0], str(result["seed"])): result["reasoner"]
        for result in read_results(HERE / experiment / "results.jsonl")
    }
    for own, conditions in measured.items():
        for condition, found in conditions.items():
            shares = [f"{100 * found[key]:.0f}" for key in ("right_sentences", "all_right")]
            written = {"own": "by the program", "label": "label in hand", "free": "without the label"}[
                condition
            ]
            lines.append(f"| {' | '.join([*own, written, str(found['rows']), *shares])} |")
    return "\n".join(lines)


def by_surface(experiments: Mapping[str, Experiment]) -> str:
    """Return the table of what words alone make of each data set, beside what reasoning first gained there.

    `experiments` by the name of the trial; the gain is the mean over an experiment's settings of the data set.
    """
    gains: dict[str, list[float]] = defaultdict(list)
    for trial, experiment in experiments.items():
        for setting in experiment.settings:
            if trial in experiment.trials(setting) and "classifier reasoned" in experiment.models(
                setting, trial
            ):
                ahead = experiment.ahead(setting, trial, "classifier reasoned")[0]
                gains[experiment.data(setting)].append(ahead)
    lines = [
        "| data set | rows | most frequent label | TF-IDF | nearest neighbours | TF-IDF's lift | points ahead |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for found in read_results(HERE / "e13-probe" / "surface.jsonl"):
        lift = (found["tfidf"] - found["majority"]) / (1 - found["majority"])
        gain = gains.get(found["data"])
        shares = [f"{100 * found[key]:.1f}" for key in ("majority", "tfidf", "neighbours")]
        ahead = f"{100 * np.mean(gain):+.1f}" if gain else ""
        cells = [found["data"], str(found["rows"]), *shares, f"{lift:+.2f}", ahead]
        lines.append(f"| {' | '.join(cells)} |".replace("-", "−"))
    return "\n".join(lines)


def percent(values: np.ndarray) -> str:
    """Return a mean in percent, nothing if there are no values."""
    return f"{100 * values.mean():.0f}" if len(values) else ""


def label_alone(experiment: Experiment) -> str:
    """Return the table of the baselines at every budget, and the floors."""
    lines = [
        "| setting | model | seeds | accuracy | macro-F1 | training FLOPs |",
        "|---|---|---:|---|---:|---:|",
    ]
    for setting in experiment.settings:
        trials = experiment.trials(setting)
        for floor in ("majority", "tfidf"):
            own = experiment.series(setting, trials[0], floor)
            lines.append(
                f"| {setting} | {floor} | {len(own.right)} | {with_interval(own.accuracy())} "
                f"| {100 * np.mean(own.macro_f1):.1f} | |"
            )
        for trial in sorted(
            trials, key=lambda name: float(np.mean(experiment.series(setting, name, "baseline").flops))
        ):
            own = experiment.series(setting, trial, "baseline")
            lines.append(
                f"| {setting} | label, budget of `{trial}` | {len(own.right)} | {with_interval(own.accuracy())} "
                f"| {100 * np.mean(own.macro_f1):.1f} | {np.mean(own.flops):.2e} |"
            )
    return "\n".join(lines)


def with_interval(values: Estimate, *, signed: bool = False) -> str:
    """Return a mean and its interval in percent or points."""
    sign = "+" if signed else ""
    mean, low, high = (100 * value for value in values)
    return f"{mean:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]".replace("-", "−")


PAPER = Experiment("e1-paper-regime")
CURVES = Experiment("e2-learning-curves")
CONTROLS = Experiment("e3-controls")
REASONINGS = Experiment("e4-reasonings")
BEST = Experiment("e5-best", "test")
BETTER = Experiment("e6-better-reasonings")
ALL_TEXTS = Experiment("e7-all-texts")
STEPS = Experiment("e8-steps")

FIRST = {"best": BEST, "reasoning_label": STEPS}
"""The trials whose reasoned answers the map shows."""

BLOCKS = {
    "e1": lambda: comparison(PAPER),
    "e2": lambda: comparison(CURVES),
    "e2-label": lambda: label_alone(CURVES),
    "e3": lambda: ablation(CONTROLS, CURVES, "dual"),
    "e4": lambda: ablation(REASONINGS, REASONINGS, "as_is"),
    "e5-means": lambda: means(BEST, "best"),
    "e5-nats": lambda: likelihoods(BEST, "best"),
    "e5": lambda: beside_others(BEST, "best"),
    "e6": lambda: ablation(BETTER, CURVES),
    "e7": lambda: comparison(ALL_TEXTS),
    "e8": lambda: comparison(STEPS),
    "e8-steps": lambda: by_steps(STEPS),
    "e9": lambda: by_reasoner("e9-own-reasonings"),
    "e13": lambda: by_surface(FIRST),
}


def page(text: str) -> str:
    """Return the page with its blocks written anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block['name']]()}\n{block[4]}", text)


DRAWN = {
    "map.svg": lambda: where_it_pays(FIRST),
    "e2-labels.svg": lambda: against_labels(CURVES),
    "e2-flops.svg": lambda: against_flops(CURVES),
    "e2-cost.svg": lambda: against_cost(CURVES, "dual"),
    "e3-controls.svg": lambda: beside_label_alone(CONTROLS),
    "e4-reasonings.svg": lambda: beside_label_alone(REASONINGS),
    "e5-labels.svg": lambda: against_labels(BEST),
    "e5-differences.svg": lambda: differences(BEST, "best"),
}


def main() -> int:
    """Write what is out of date, or with --check say whether something is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    wanted = {
        PAGE: page(PAGE.read_text(encoding="utf-8")),
        **{FIGURES / name: draw() for name, draw in DRAWN.items()},
    }
    stale = [
        path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"out of date: {path.relative_to(HERE.parent)}" if check else f"written: {path}")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
