"""What a verb prints about a run on stdout: the comparison, a few predictions, the path of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from whylabel.evaluation.outcomes import Predictions
from whylabel.evaluation.predictions import PredictionRow, iterate_predictions
from whylabel.evaluation.quality import explaining_mode
from whylabel.host.atomic import as_written, read_json
from whylabel.host.terminal import print_json, printable
from whylabel.prediction.withheld import is_withheld
from whylabel.report.faithfulness import faithfulness_line
from whylabel.report.formats import p_value, points, shortened
from whylabel.report.multi_label import decides_by_label
from whylabel.report.quality import reasonings_line
from whylabel.report.verdict import best_notes, seen_note
from whylabel.run_folder import RunFolder

_SHOWN = 5


def print_stage(metrics: Path, *, as_json: bool) -> None:
    """Print a stage's metrics as JSON, or the path of their file."""
    if not metrics.exists():
        return
    if as_json:
        print_json(read_json(metrics, dict))
    else:
        click.echo(printable(f"metrics: {metrics}"))


def print_stages(metrics: dict[str, Path], *, as_json: bool) -> None:
    """Print the metrics of several stages as one JSON object, by stage name, or the paths of their files."""
    if as_json:
        print_json({name: read_json(path, dict) for name, path in metrics.items()})
        return
    for path in metrics.values():
        print_stage(path, as_json=False)


def print_results(run: RunFolder, *, as_json: bool, with_model: bool = True) -> None:
    """Print the evaluation: a table for people, or `evaluation/metrics.json` as it is.

    `with_model`: whether the folder has the model, with which other texts can be labelled.
    """
    metrics = read_json(run.evaluation_metrics, dict)
    if as_json:
        print_json(metrics)
        return
    with as_written(run.evaluation_metrics):
        _show(run, metrics, with_model)


def _show(run: RunFolder, metrics: dict[str, Any], with_model: bool) -> None:
    from rich.console import Console

    console = Console(width=max(100, Console().width))
    console.print()
    console.print(_comparison(metrics, _evaluated_on(run)))
    if metrics.get("paired"):
        console.print(_paired(metrics["paired"]), highlight=False, soft_wrap=True)
    for line in filter(None, (seen_note(metrics), *best_notes(metrics))):
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
    console.print()
    if metrics.get("classifier"):
        for line in _predictions(run, metrics):
            console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
        used = faithfulness_line(read_json(run.faithfulness, dict)) if run.faithfulness.exists() else None
        about = [line for line in (reasonings_line(metrics), used) if line]
        if about:
            console.print()
        for line in about:
            console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
        console.print()
    lines = [f"report:      {run.report}"]
    if with_model:
        mode = explaining_mode(metrics)
        option = "" if mode == metrics["classifier"]["mode"] else f" --mode {mode}"
        lines.append(f"predict:     echo 'your text' | whylabel predict --model {run.path}{option}")
    for line in lines:
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def _evaluated_on(run: RunFolder) -> str:
    """Return what the figures are of: the test split of a run, or the texts that trained models were given."""
    manifest = run.read_manifest()
    # Only the evaluation of trained models on other texts records which models it is of.
    given = "model" in manifest and (manifest.get("data") or {}).get("source")
    return printable(str(given)) if given else "test split"


def _comparison(metrics: dict[str, Any], evaluated_on: str = "test split") -> Any:
    from rich.markup import escape
    from rich.table import Table

    models = {**metrics.get("floors", {}), **metrics.get("rivals", {})}
    models.update({name: metrics[name] for name in ("baseline", "classifier") if metrics.get(name)})
    test_rows = max(model["n"] for model in models.values())
    several = len(metrics.get("modes", {})) > 1
    first_mode = "; the default mode first" if several else ""
    title = f"{evaluated_on}, {test_rows:,} rows, 95 % intervals{first_mode}"
    # A path may hold brackets, which are no markup.
    table = Table(title=escape(title), title_justify="left")
    table.add_column("model")
    key, first = ("micro_f1", "micro-F1") if decides_by_label(metrics) else ("accuracy", "accuracy")
    for name in (first, "macro-F1", "seconds/row", "tokens/row"):
        table.add_column(name, justify="right")
    shown = dict(models)
    if several:
        default = shown.pop("classifier")
        shown[f"classifier, {default['mode']}"] = default
    for mode, model in metrics.get("modes", {}).items():
        if mode != metrics["classifier"]["mode"]:
            shown[f"classifier, {mode}"] = model
    for name, model in shown.items():
        table.add_row(
            name,
            with_interval(model[key], model[f"{key}_ci95"]),
            with_interval(model["macro_f1"], model["macro_f1_ci95"]),
            f"{model['cost']['seconds_per_row']:.3f}",
            f"{model['cost']['tokens_per_row']:.1f}",
        )
    return table


def with_interval(value: float, interval: tuple[float, float] | None) -> str:
    """Return a share in percent, with its interval if it has one."""
    text = f"{100 * value:.1f} %"
    return f"{text}  [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else text


def _paired(paired: dict[str, Any]) -> str:
    if "micro_f1_difference" in paired:
        low, high = paired["micro_f1_difference_ci95"]
        return (
            f"classifier − baseline: {points(paired['micro_f1_difference'])} points of micro-F1, "
            f"95 % interval {points(low)} to {points(high)}"
        )
    low, high = paired["ci95"]
    return (
        f"classifier − baseline: {points(paired['difference'])} points of accuracy, "
        f"95 % interval {points(low)} to {points(high)}, exact McNemar {p_value(paired['mcnemar_p'])}"
    )


def _predictions(run: RunFolder, metrics: dict[str, Any]) -> list[str]:
    """Return a few of the classifier's predictions, in a mode with reasonings if one was evaluated."""
    modes = list(metrics.get("modes", {}))
    shown = explaining_mode(metrics)
    several_labels = decides_by_label(metrics)
    lines = [f"in mode {shown}:"] if len(modes) > 1 else []
    for row in _first_shown(run, shown):
        prediction = row.prediction
        verdict = "right" if row.right else f"wrong, gold is {row.gold or 'nothing'}"
        lines.append(f"• {shortened(' '.join(row.text.split()), 140)}")
        if is_withheld(prediction):
            lines.append(f"    why:   ({prediction.reasoning_status})")
        elif prediction.reasoning is not None:
            lines.append(f"    why:   {shortened(' '.join(prediction.reasoning.split()), 220)}")
        top = max(prediction.probabilities, default=0.0)
        confidence = "" if several_labels else f"{top:.0%}; "
        lines.append(f"    label: {prediction.label or 'nothing'} ({confidence}{verdict})")
    return lines


def _first_shown(run: RunFolder, mode: str) -> list[PredictionRow]:
    """Return the classifier's first rows in a mode, those whose reasoning is shown before those withheld."""
    found = (
        out
        for key, out in Predictions.of_file(run.predictions).outcomes.items()
        if key == ("classifier", mode)
    )
    places: list[int] = next((out.places.tolist() for out in found), [])
    shown: list[PredictionRow] = []
    withheld: list[PredictionRow] = []
    for row in iterate_predictions(run.predictions, places):
        (withheld if is_withheld(row.prediction) else shown).append(row)
        if len(shown) == _SHOWN:
            break
        del withheld[_SHOWN:]
    return [*shown, *withheld][:_SHOWN]
