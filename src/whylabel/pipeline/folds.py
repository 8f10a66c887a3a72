"""The work of the stage `train-folds`: baselines that are each trained without one part of the train rows.

Their probabilities for the rows that they have not seen find suspect labels. As the verifier `baseline`, they judge
the reasonings of these rows: they are kept for that.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from whylabel.host.atomic import whole_folder
from whylabel.host.progress import say
from whylabel.pipeline.calibrate import trained_content
from whylabel.pipeline.job import Job, StageResult, own_folder
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import fingerprint
from whylabel.types import Example


def folds_stage(job: Job) -> StageResult:
    """Train a baseline without each part of the rows, and let it label the rows of that part."""
    from whylabel.stages.folds import out_of_fold, write_out_of_fold

    recipe, labels, run = job.inputs.recipe, job.inputs.labels, job.run
    rows = list(job.inputs.dataset.train)
    wanted = recipe.augment.folds
    assert wanted is not None
    own = job.own(run.folds)
    found = out_of_fold(rows, labels, wanted, recipe.seed, partial(_fit_predict, job, own), own)
    write_out_of_fold(run.out_of_fold, found)
    best = found.probabilities.argmax(axis=1)
    right = sum(labels.index(row.label) == label for row, label in zip(rows, best, strict=True))
    say(
        f"  {found.count} baselines, each without one part of the rows: {right / len(rows):.1%} of the labels found"
    )
    if recipe.augment.judged_by_baselines:
        for file in own.glob("fold-*.parquet"):
            file.unlink()
    else:
        job.discard(run.folds)
    return StageResult(len(rows), 0, {"content": folds_content(run)})


def fold_models(run: RunFolder) -> list[Path]:
    """Return the folders of the baselines by the number of their fold; none if they are not all there."""
    from whylabel.stages.folds import read_out_of_fold

    own = own_folder(run.folds, str(run.stage("train-folds").get("fingerprint")))
    if not own.is_dir() or not run.out_of_fold.exists():
        return []
    models = [own / _name(number) for number in range(read_out_of_fold(run.out_of_fold).count)]
    return models if all(model.is_dir() for model in models) else []


def fold_of_rows(run: RunFolder) -> Mapping[str, int]:
    """Return the fold of each train row by its id."""
    from whylabel.stages.folds import read_out_of_fold

    found = read_out_of_fold(run.out_of_fold)
    return dict(zip(found.ids, found.folds, strict=True))


def folds_content(run: RunFolder) -> str:
    """Return the hash of the baselines as they are now, and of which rows each of them has not seen."""
    return fingerprint(
        [trained_content(model) for model in fold_models(run)], list(fold_of_rows(run).values())
    )


def _name(number: int) -> str:
    return f"model-{number}"


def _fit_predict(
    job: Job, own: Path, train: Sequence[Example], held_out: Sequence[Example], fold: int
) -> Any:
    """Train a baseline, and return its probabilities for rows that it was not trained on. It is kept if it judges."""
    from whylabel.models.load import load
    from whylabel.prediction.trained import TrainedClassifier
    from whylabel.stages.classifier import save_checked, train_classifier

    recipe, labels = job.inputs.recipe, job.inputs.labels
    loaded = load(recipe.base_model, device=recipe.device, dtype="float32")
    card, _ = train_classifier(
        loaded,
        train,
        labels,
        recipe,
        target="label",
        title=f"fold {fold + 1}",
        checkpoints=own / f"checkpoints-{fold}",
        lineage=job.lineage(),
        validation=job.inputs.dataset.validation,
    )
    if recipe.augment.judged_by_baselines:
        with whole_folder(own / _name(fold)) as aside:
            save_checked(loaded, card, held_out, aside)
    predictions = list(TrainedClassifier(loaded, card).predict([(row.id, row.text) for row in held_out]))
    shutil.rmtree(own / f"checkpoints-{fold}", ignore_errors=True)
    even = [1 / len(labels)] * len(labels)
    return np.array([prediction.probabilities or even for prediction in predictions])
