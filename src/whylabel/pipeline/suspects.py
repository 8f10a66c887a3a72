"""The work of the stage `suspects`: baselines that were not trained on a row judge whether its label looks wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from whylabel.host.progress import say
from whylabel.pipeline.job import Job, StageResult
from whylabel.text.hashes import fingerprint
from whylabel.types import Example


def suspects_stage(job: Job) -> StageResult:
    """List the train rows whose label looks wrong."""
    from whylabel.stages.suspects import find_suspects, out_of_fold, write_suspects

    recipe, labels, listed = job.inputs.recipe, job.inputs.labels, job.run.suspects
    folds = recipe.augment.suspects.folds
    assert folds is not None
    rows = list(job.inputs.dataset.train)
    scratch = listed.with_name("folds")
    own = job.own(scratch)
    fit_predict = partial(_fit_predict, job, own)
    probabilities = out_of_fold(rows, labels, folds, recipe.seed, fit_predict, own)
    found = find_suspects(rows, probabilities, labels)
    write_suspects(listed, found)
    job.discard(scratch)
    share = len(found) / len(rows)
    say(f"  {len(found):,} of {len(rows):,} labels look wrong ({share:.1%}); they are in {listed}")
    return StageResult(len(rows), 0, {"content": fingerprint(sorted(row.id for row in found))})


def _fit_predict(
    job: Job, scratch: Path, train: Sequence[Example], held_out: Sequence[Example], fold: int
) -> Any:
    """Return a baseline's probabilities for rows that it was not trained on."""
    from whylabel.models.load import load
    from whylabel.prediction.trained import TrainedClassifier
    from whylabel.stages.classifier import train_classifier

    recipe, labels = job.inputs.recipe, job.inputs.labels
    loaded = load(recipe.base_model, device=recipe.device, dtype="float32")
    card, _ = train_classifier(
        loaded,
        train,
        labels,
        recipe,
        target="label",
        title=f"fold {fold + 1}",
        checkpoints=scratch / f"checkpoints-{fold}",
        lineage={},
        validation=job.inputs.dataset.validation,
    )
    predictions = TrainedClassifier(loaded, card).predict([(row.id, row.text) for row in held_out])
    even = [1 / len(labels)] * len(labels)
    return np.array([prediction.probabilities or even for prediction in predictions])
