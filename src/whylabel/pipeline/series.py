"""Several runs of one recipe that differ by their seed, as one: each in a run folder of its own, then compared.

All have the same validation and test rows: those of the recipe's own seed. Each run is resumed as any other is, so
the same command continues where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from whylabel.errors import UsageError
from whylabel.evaluation.arms import arms_of_series, read_runs
from whylabel.evaluation.comparison import Comparison, compare_arms
from whylabel.evaluation.curve import Curve, Size, learning_curve
from whylabel.host.atomic import write_json
from whylabel.host.progress import say
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.pipeline import Pipeline
from whylabel.recipe import Recipe, override_recipe
from whylabel.report.comparison import write_comparison
from whylabel.report.curve import write_curve
from whylabel.run_folder import RunFolder


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One run of a series."""

    recipe: Recipe
    run: RunFolder


def of_seeds(recipe: Recipe, folder: Path, count: int) -> list[Member]:
    """Return a run for each of `count` seeds from the recipe's on, in `folder / seed-N`.

    Raises `UsageError` if the folder is itself a run.
    """
    if RunFolder(folder).manifest.exists():
        raise UsageError(
            "A run is in this folder, and several runs need one of their own.",
            where=str(folder),
            fix="name another folder with --output DIR",
        )
    splits = recipe.data.seed_of_splits(recipe.seed)
    return [
        Member(
            override_recipe(recipe, seed=seed, data__split_seed=splits), RunFolder(folder / f"seed-{seed}")
        )
        for seed in range(recipe.seed, recipe.seed + count)
    ]


def run_members(members: Sequence[Member]) -> int:
    """Run every stage of every member; return how many rows failed in all."""
    pipelines = [Pipeline(member.recipe, member.run) for member in dict.fromkeys(members)]
    for number, pipeline in enumerate(pipelines, start=1):
        say(f"run {number} of {len(pipelines)}, {pipeline.run.path}:")
        with pipeline.run.locked():
            pipeline.run_all()
    return sum(pipeline.failed_rows for pipeline in pipelines)


def compare_seeds(folder: Path, members: Sequence[Member]) -> Comparison:
    """Compare the classifier with all other models over the seeds; write `comparison.json` and `comparison.html`."""
    runs = read_runs([member.run.path for member in members])
    arms = arms_of_series(runs)
    ours = next(arm.name for arm in arms if arm.model == "classifier")
    recipe = members[0].recipe
    samples = recipe.evaluation.bootstrap_samples
    comparison = compare_arms(runs[0].rows, arms, bootstrap_samples=samples, seed=recipe.seed, against=ours)
    write_json(folder / "comparison.json", comparison.to_json())
    write_comparison(folder / "comparison.html", comparison)
    return comparison


def of_sizes(recipe: Recipe, folder: Path, sizes: Sequence[int], count: int) -> dict[int, list[Member]]:
    """Return runs with so many train rows a label, with `count` seeds each, in `folder / N-per-label / seed-N`.

    A size for which the data have no more train rows than for the one before has the runs of that one.
    """
    found: dict[int, list[Member]] = {}
    by_rows: dict[int, int] = {}
    for size in sorted(sizes):
        sized = override_recipe(recipe, data__train_rows_per_label=size)
        rows = len(Inputs(sized).dataset.train)
        same = by_rows.setdefault(rows, size)
        if same != size:
            say(f"{size:,} a label: the data have no more train rows than with {same:,}, so there is no run")
        found[size] = found[same] if same != size else of_seeds(sized, folder / f"{size}-per-label", count)
    return found


def curve_of(folder: Path, members: Mapping[int, Sequence[Member]]) -> Curve:
    """Return the learning curve of finished runs by size; write `curve.json` and `curve.html`."""
    every = list(dict.fromkeys(member for found in members.values() for member in found))
    runs = dict(zip(every, read_runs([member.run.path for member in every]), strict=True))
    sizes = [
        Size(
            size,
            tuple(int(member.run.read_manifest()["data"]["rows"]["train"]) for member in found),
            tuple(arms_of_series([runs[member] for member in found])),
        )
        for size, found in members.items()
    ]
    recipe = every[0].recipe
    samples = recipe.evaluation.bootstrap_samples
    curve = learning_curve(runs[every[0]].rows, sizes, bootstrap_samples=samples, seed=recipe.seed)
    write_json(folder / "curve.json", curve.to_json())
    write_curve(folder / "curve.html", curve)
    return curve
