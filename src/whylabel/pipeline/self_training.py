"""A round of self-training in stage 2b: train a classifier, and let it write its own reasonings."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whylabel.host.atomic import read_json, write_json
from whylabel.host.progress import say
from whylabel.pipeline.job import Job
from whylabel.reasonings.files import read_reasoned
from whylabel.types import Example, ReasonedExample


def self_training_round(
    job: Job, number: int, rows: Sequence[Example | ReasonedExample]
) -> tuple[list[Example | ReasonedExample], dict[str, Any]]:
    """Return the rows, joined with the reasonings of a classifier that was trained on them, and the counts.

    A round's reasonings are kept in the run folder. A process that continues reads them from there.
    """
    from whylabel.stages.self_training import joined

    folder = job.own(job.run.self_training)
    written, counts = folder / f"round-{number}.parquet", folder / f"round-{number}.json"
    if not (written.exists() and counts.exists()):
        say(f"  self-training, round {number}:")
        _write(job, f"round {number}", rows, written, counts)
    return joined(rows, read_reasoned(written)), read_json(counts, dict)


def _write(
    job: Job, title: str, rows: Sequence[Example | ReasonedExample], written: Path, counts: Path
) -> None:
    """Train a classifier on the rows and write its own reasonings, then the counts, which mark the round as done."""
    from whylabel.models.load import load
    from whylabel.prediction.trained import TrainedClassifier
    from whylabel.reasonings.files import kept_rows
    from whylabel.stages.classifier import train_classifier
    from whylabel.stages.self_training import write_own

    inputs, recipe = job.inputs, job.inputs.recipe
    loaded = load(recipe.base_model, device=recipe.device, dtype="float32")
    checkpoints = job.checkpoints(job.run.classifier_model) / written.stem
    card, trained = train_classifier(
        loaded,
        rows,
        inputs.labels,
        recipe,
        target=recipe.classifier.target,
        title=title,
        checkpoints=checkpoints,
        lineage={},
        validation=inputs.dataset.validation,
    )
    model = TrainedClassifier(loaded, card)
    # Rows that came with a reasoning keep it.
    others = [row for row in inputs.dataset.train if not row.reasoning]
    own = write_own(model, others, inputs.filters, title=f"{title}: own reasonings")
    with kept_rows(written) as write:
        for row in own.kept:
            write(row)
    spent = {key: trained[key] for key in ("steps", "flops", "tokens", "seconds")}
    write_json(counts, {**own.to_json(), **spent})
    shutil.rmtree(checkpoints, ignore_errors=True)
