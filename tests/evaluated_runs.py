"""Evaluated runs to compare: folders with the predictions that a test wants, made without any model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from whylabel.evaluation.evaluate import SINGLE_LABEL, evaluate
from whylabel.evaluation.multi_label import measures_by_label
from whylabel.evaluation.predictions import PredictionRows, write_predictions
from whylabel.host.atomic import write_json
from whylabel.recipe import EvaluationConfig, Recipe, override_recipe
from whylabel.run_folder import RunFolder
from whylabel.text.labels import LabelSet
from whylabel.types import Example, Mode, Prediction

LABELS = ("joy", "fear", "anger")


def test_rows(n: int = 120, labels: Sequence[str] = LABELS) -> list[Example]:
    return [Example(f"t{at}", f"text number {at}", labels[at % len(labels)]) for at in range(n)]


test_rows.__test__ = False  # type: ignore[attr-defined]


def answers(
    rows: Sequence[Example], right: float, seed: int, mode: Mode = "fast", labels: Sequence[str] = LABELS
) -> list[Prediction]:
    """Return predictions of which about this share is right, and more by chance."""
    rng = random.Random(seed)
    said = []
    for row in rows:
        label = row.label if rng.random() < right else rng.choice(labels)
        rest = 0.4 / (len(labels) - 1)
        chances = tuple(0.6 if name == label else rest for name in labels)
        said.append(Prediction(row.id, label, chances, mode=mode, seconds=0.5, tokens=3))
    return said


def write_evaluated(
    folder: Path,
    rows: Sequence[Example],
    models: Mapping[str, Sequence[Prediction]],
    *,
    seed: int = 13,
    labels: Sequence[str] = LABELS,
    others: Mapping[str, Sequence[Prediction]] | None = None,
    **recipe: object,
) -> RunFolder:
    """Write a run: `models` are baseline and classifier, `others` further models; `recipe` are its settings."""
    run = RunFolder(folder)
    settings = override_recipe(Recipe(name="run"), **{"seed": seed, **recipe})
    several = settings.task.type == "multi_label"
    from whylabel.prediction.multi_label import multi_label_of

    found = multi_label_of(settings.task)
    result = evaluate(
        rows,
        (),
        LabelSet(tuple(labels)),
        models,
        EvaluationConfig(bootstrap_samples=100),
        seed,
        measures=measures_by_label(found.separator) if several and found else SINGLE_LABEL,
    )
    more = [row for name, said in (others or {}).items() for row in PredictionRows(name, rows, said)]
    run.write_recipe(settings.to_yaml())
    run.update_manifest(seed=seed, versions={}, data={"rows": {"test": len(rows)}})
    write_json(run.evaluation_metrics, result.to_json())
    write_predictions(run.predictions, [*result.rows, *more])
    return run
