"""What is compared: the answers of models in one mode to the same test rows, one training a seed.

An arm is a model in a mode under one set of settings. Runs that differ by their seed alone are trainings of the same
arms; so are the runs of `whylabel run --seeds`. Test rows are the same where ids, texts and gold labels are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from whylabel.errors import RecipeError, RunFolderError, UsageError
from whylabel.evaluation.predictions import iterate_predictions
from whylabel.host.atomic import as_written, read_json
from whylabel.recipe import load_recipe
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import fingerprint, text_number
from whylabel.text.several_labels import SEPARATOR, Separator

_SAME_ROWS = (
    "compare runs over the same data with the same data.split_seed and data.test_rows, or let both models label one "
    "file: whylabel evaluate MODEL --data FILE"
)
_PLACES_NAMED = 3


@dataclass(slots=True)
class Answers:
    """What one trained model answered to the test rows in one mode; a failed row has the label None."""

    labels: list[str | None] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Training:
    """One trained model: the run that it is from, its seed, and its answers in the order of the test rows."""

    run: str
    seed: int | None
    answers: Answers


@dataclass(frozen=True, slots=True)
class Arm:
    """A model in a mode under one set of settings, with one training or several that differ by their seed.

    `target` is what a classifier was trained to write, None if it is not known.
    """

    name: str
    model: str
    mode: str
    trainings: tuple[Training, ...]
    target: str | None = None


@dataclass(frozen=True, slots=True)
class ComparedRows:
    """The rows that all answered: `texts` are hashes of the texts. `separator` is None if a text has one label."""

    ids: tuple[str, ...]
    texts: tuple[int, ...]
    gold: tuple[str, ...]
    labels: tuple[str, ...]
    separator: Separator | None


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """An evaluated run: its test rows, and its answers by (model, mode).

    `settings` are equal for runs that differ by their seed alone, None if they are not known; `group` names the
    folder of several runs that it is from. `default_mode` and `target` are those of its classifier.
    """

    name: str
    group: str | None
    seed: int | None
    settings: str | None
    default_mode: str | None
    rows: ComparedRows
    answers: dict[tuple[str, str], Answers]
    target: str | None = None


def run_folders(paths: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    """Return the run folders that paths name, each with the folder of several runs that it was found in, or None.

    Raises `RunFolderError` if there is none at a path.
    """
    found: dict[Path, tuple[Path, Path | None]] = {}
    for path in paths:
        if RunFolder(path).predictions.exists():
            folders: list[tuple[Path, Path | None]] = [(path, None)]
        else:
            inside = sorted(path.glob("*/evaluation/predictions.parquet"))
            folders = [(file.parent.parent, path) for file in inside]
        if not folders:
            raise RunFolderError(
                "There is no evaluated run here."
                if path.is_dir()
                else f"There is no run folder at {str(path)!r}.",
                where=str(path),
                fix="evaluate it first: whylabel evaluate RECIPE, or a model: whylabel evaluate MODEL --data FILE",
            )
        for folder, group in folders:
            found.setdefault(folder.resolve(), (folder, group))
    return list(found.values())


def read_runs(paths: Sequence[Path], done: Callable[[], None] = lambda: None) -> list[EvaluatedRun]:
    """Return the evaluated runs at the paths, their answers in the order of the first run's test rows.

    `done` is called after each. Raises `RunFolderError` if one cannot be read, `UsageError` with the reason if their
    test rows, texts, gold labels or label sets differ.
    """
    folders = run_folders(paths)
    plain = [folder.resolve().name for folder, _ in folders]
    runs: list[EvaluatedRun] = []
    for name, (folder, group) in zip(plain, folders, strict=True):
        run = _read_run(folder, name if plain.count(name) == 1 else str(folder), group)
        runs.append(_in_order_of(runs[0], run) if runs else run)
        done()
    return runs


def arms_of(runs: Sequence[EvaluatedRun], models: Sequence[str] = (), modes: Sequence[str] = ()) -> list[Arm]:
    """Return the arms of the runs: these models in these modes, `all` for every one.

    Without `models`, baseline and classifier; without `modes`, the classifier's default mode. Arms with exactly the
    same answers are one. Raises `UsageError` if no run has a model or a mode.
    """
    groups = _groups(runs)
    several = len(groups) > 1
    arms: list[Arm] = []
    for name, members in groups:
        for model, mode in _wanted(members[0], models, modes):
            trainings = tuple(Training(run.name, run.seed, run.answers[model, mode]) for run in members)
            shown = f"{model}, {mode}" if model == "classifier" else model
            name_shown = f"{name}: {shown}" if several else shown
            arms.append(Arm(name_shown, model, mode, trainings, _target(model, members[0])))
    for kind, asked, held in (
        ("model", models, {model for run in runs for model, _ in run.answers}),
        ("mode", modes, {mode for run in runs for _, mode in run.answers}),
    ):
        missing = [name for name in asked if name != "all" and name not in held]
        if missing:
            raise UsageError(
                f"No run has the {kind} {missing[0]!r}. There are: {', '.join(sorted(held))}.",
                fix=f"name one of these, or all: --{kind} all",
            )
    return _merged(arms)


def arms_of_series(runs: Sequence[EvaluatedRun]) -> list[Arm]:
    """Return the arms of runs that are known to differ by their seed alone: every model that all of them have.

    The classifier answers in the default mode of each run, which need not be the same in all.
    """
    shared = {model: mode for model, mode in runs[0].answers if model != "classifier"}
    arms = [
        Arm(model, model, mode, tuple(Training(run.name, run.seed, run.answers[model, mode]) for run in runs))
        for model, mode in shared.items()
        if all((model, mode) in run.answers for run in runs)
    ]
    keys = [("classifier", run.default_mode or "") for run in runs]
    if all(key in run.answers for key, run in zip(keys, runs, strict=True)):
        mode = " or ".join(dict.fromkeys(mode for _, mode in keys))
        trainings = (
            Training(run.name, run.seed, run.answers[key]) for key, run in zip(keys, runs, strict=True)
        )
        arms.append(Arm(f"classifier, {mode}", "classifier", mode, tuple(trainings), runs[0].target))
    return arms


def _target(model: str, run: EvaluatedRun) -> str | None:
    return run.target if model == "classifier" else None


def _wanted(run: EvaluatedRun, models: Sequence[str], modes: Sequence[str]) -> Iterator[tuple[str, str]]:
    for model, mode in run.answers:
        if model not in (models or ("baseline", "classifier")) and "all" not in models:
            continue
        # Models without modes are asked in the only one that they have.
        if model == "classifier" and mode not in (modes or (run.default_mode,)) and "all" not in modes:
            continue
        yield model, mode


def _groups(runs: Sequence[EvaluatedRun]) -> list[tuple[str, list[EvaluatedRun]]]:
    """Return runs that differ by their seed alone together, each group with its name."""
    by_settings: dict[Any, list[EvaluatedRun]] = {}
    for run in runs:
        # Which of its modes is the default one, and so comes first, is decided in each run anew.
        key = (run.settings, frozenset(run.answers)) if run.settings else run.name
        by_settings.setdefault(key, []).append(run)
    found = []
    for members in by_settings.values():
        if len({run.seed for run in members}) < len(members):
            # The same seed twice is not another training, or not with these settings alone.
            found += [(run.name, [run]) for run in members]
            continue
        members.sort(key=lambda run: run.seed or 0)
        parents = {run.group for run in members}
        parent = parents.pop() if len(parents) == 1 and len(members) > 1 else None
        found.append((parent or ", ".join(run.name for run in members), members))
    names = [name for name, _ in found]
    return [
        (name if names.count(name) == 1 else ", ".join(run.name for run in members), members)
        for name, members in found
    ]


def _merged(arms: Sequence[Arm]) -> list[Arm]:
    """Return the arms with those that gave exactly the same answers as one, named for all of them."""
    found: list[Arm] = []
    for arm in arms:
        same = next((at for at, other in enumerate(found) if _same_answers(arm, other)), None)
        if same is None:
            found.append(arm)
        else:
            run, _, _ = arm.name.rpartition(": ")
            first, _, model = found[same].name.rpartition(": ")
            found[same] = replace(found[same], name=f"{first} = {run}: {model}")
    return found


def _same_answers(one: Arm, other: Arm) -> bool:
    alike = (one.model, one.mode, len(one.trainings)) == (other.model, other.mode, len(other.trainings))
    return alike and all(
        first.answers.labels == second.answers.labels
        for first, second in zip(one.trainings, other.trainings, strict=True)
    )


def _read_run(folder: Path, name: str, group: Path | None) -> EvaluatedRun:
    run = RunFolder(folder)
    metrics: dict[str, Any] = read_json(run.evaluation_metrics, dict)
    with as_written(run.evaluation_metrics):
        labels = tuple(map(str, metrics["labels"]))
        default_mode = (metrics.get("classifier") or {}).get("mode")
    manifest = run.read_manifest()
    recipe = _plain_recipe(run)
    task = manifest.get("task") or recipe.get("task") or {}
    separator = None
    if task.get("type") == "multi_label":
        separator = Separator(str(task.get("label_separator") or SEPARATOR))
    ids, texts, gold, answers = _read_answers(run.predictions)
    seed = manifest.get("seed")
    return EvaluatedRun(
        name=name,
        group=None if group is None else group.resolve().name,
        seed=seed if isinstance(seed, int) else None,
        settings=_settings(run, recipe, manifest),
        default_mode=default_mode,
        rows=ComparedRows(tuple(ids), tuple(texts), tuple(gold), labels, separator),
        answers=answers,
        target=metrics.get("target") or (recipe.get("classifier") or {}).get("target"),
    )


def _read_answers(
    path: Path,
) -> tuple[Sequence[str], Sequence[int], Sequence[str], dict[tuple[str, str], Answers]]:
    """Return ids, hashes of the texts and gold labels of the rows, and the answers by (model, mode)."""
    first: dict[str, tuple[int, str]] = {}
    place: dict[str, int] = {}
    by_arm: dict[tuple[str, str], Answers] = {}
    names: dict[str, str] = {}
    for row in iterate_predictions(path):
        said = row.prediction
        key = (row.model, said.mode)
        found = by_arm.get(key)
        if found is None:
            found = by_arm[key] = Answers(list(first) and [None] * len(first))
        if len(by_arm) == 1:
            place[said.id] = len(place)
            first[said.id] = (text_number(row.text), names.setdefault(row.gold, row.gold))
            found.labels.append(None)
        if said.id not in place:
            raise RunFolderError(
                f"Its models have answered to different rows: {row.model} alone has {said.id!r}.",
                where=str(path),
                fix="evaluate the run again: whylabel evaluate RECIPE",
            )
        label = None if said.status == "failed" else names.setdefault(said.label, said.label)
        found.labels[place[said.id]] = label
        found.seconds += said.seconds
        found.tokens += said.tokens
    if not first:
        raise RunFolderError("There is no prediction here.", where=str(path), fix="evaluate the run again")
    return list(first), [text for text, _ in first.values()], [gold for _, gold in first.values()], by_arm


def _in_order_of(first: EvaluatedRun, run: EvaluatedRun) -> EvaluatedRun:
    """Return the run with its rows in the order of the first. Raises `UsageError` with the reason if they differ."""
    rows, wanted = run.rows, first.rows
    at = {row_id: place for place, row_id in enumerate(rows.ids)}
    lacking = [row_id for row_id in wanted.ids if row_id not in at]
    more = len(rows.ids) - (len(wanted.ids) - len(lacking))
    if lacking or more:
        raise _different(
            first,
            run,
            f"{len(lacking):,} rows are only in {first.name} and {more:,} only in {run.name}",
            lacking,
        )
    order = [at[row_id] for row_id in wanted.ids]
    for what, mine, others in (
        ("another text", rows.texts, wanted.texts),
        ("another gold label", rows.gold, wanted.gold),
    ):
        differ = [
            row_id
            for row_id, place, value in zip(wanted.ids, order, others, strict=True)
            if mine[place] != value
        ]
        if differ:
            raise _different(first, run, f"{len(differ):,} rows have {what} in {run.name}", differ)
    if set(rows.labels) != set(wanted.labels) or rows.separator != wanted.separator:
        only = sorted(set(rows.labels) ^ set(wanted.labels))
        raise _different(first, run, "their label sets differ", only)
    answers = {
        arm: Answers([found.labels[place] for place in order], found.seconds, found.tokens)
        for arm, found in run.answers.items()
    }
    return replace(run, rows=wanted, answers=answers)


def _different(first: EvaluatedRun, run: EvaluatedRun, reason: str, named: Sequence[str]) -> UsageError:
    shown = ", ".join(map(repr, named[:_PLACES_NAMED])) + (", ..." if len(named) > _PLACES_NAMED else "")
    return UsageError(
        f"{run.name} and {first.name} cannot be compared: {reason}{f' ({shown})' if named else ''}.",
        fix=_SAME_ROWS,
    )


def _plain_recipe(run: RunFolder) -> dict[str, Any]:
    """Return the recorded recipe as plain values, whatever version of whylabel wrote it; empty if there is none."""
    if not run.recipe.exists():
        return {}
    try:
        values = yaml.safe_load(run.recipe.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        return {}
    return values if isinstance(values, dict) else {}


def _settings(run: RunFolder, recipe: dict[str, Any], manifest: dict[str, Any]) -> str | None:
    """Return a hash of what decides a run besides its seed; None if that is not known."""
    if not recipe:
        return None
    try:
        known = load_recipe(run.recipe)
        decided = {**known.deciding("weights"), **known.deciding("answers")}
    except RecipeError:
        decided = dict(recipe)  # of another version
    # That the test rows are the same is checked row by row.
    for name in ("seed", "name", "data.split_seed"):
        decided.pop(name, None)
    rows = (manifest.get("data") or {}).get("rows")
    return fingerprint(decided, rows, sorted(manifest.get("model") or ()))
