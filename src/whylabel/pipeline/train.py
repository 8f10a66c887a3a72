"""The work of stage 2b: train the baseline and the classifier, each on its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from whylabel.host.atomic import read_json, whole_folder, write_json
from whylabel.host.progress import say
from whylabel.pipeline.calibrate import trained_content
from whylabel.pipeline.job import Job, StageResult
from whylabel.pipeline.keys import matched_budget
from whylabel.pipeline.self_training import self_training_round
from whylabel.reasonings.files import read_reasoned
from whylabel.recipe import ClassifierTrainingConfig
from whylabel.text.prompts import FORMS
from whylabel.types import Example, ReasonedExample, Target


def baseline_stage(job: Job) -> StageResult:
    """Train the baseline on the labels only."""
    rows, run = job.inputs.dataset.train, job.run
    return _train(job, "label", rows, run.baseline_model, run.baseline_metrics, _baseline_training(job))


def classifier_stage(job: Job) -> StageResult:
    """Train the classifier, after the rounds of self-training that the recipe asks for."""
    config, run = job.inputs.recipe.classifier, job.run
    rows, rounds = _classifier_rows(job), []
    for number in range(1, config.self_training_rounds + 1):
        rows, counts = self_training_round(job, number, rows)
        rounds.append(counts)
    result = _train(job, config.target, rows, run.classifier_model, run.classifier_metrics)
    if rounds:
        metrics = read_json(run.classifier_metrics, dict)
        write_json(run.classifier_metrics, {**metrics, "self_training": rounds})
    return result


def _baseline_training(job: Job) -> ClassifierTrainingConfig:
    """Return the baseline's training settings: its budget may be what the classifier's training took."""
    budget, training = job.inputs.recipe.baseline.budget, job.inputs.recipe.training
    if budget == "same":
        return training
    unlimited = {"max_steps": None, "max_supervised_tokens": None, "max_train_flops": None}
    return training.model_copy(update={**unlimited, **matched_budget(job.run, budget)})


def _classifier_rows(job: Job) -> Sequence[Example | ReasonedExample]:
    """Return the rows that the classifier is trained on; from one without a reasoning it learns only the label."""
    recipe, train = job.inputs.recipe, job.inputs.dataset.train
    target, control = recipe.classifier.target, recipe.classifier.control
    if target == "label":
        return train
    reasoned: Sequence[ReasonedExample] = read_reasoned(job.run.kept)
    if control is not None:
        from whylabel.reasonings.controls import controlled

        say(f"  control experiment: the reasonings are spoilt on purpose ({control})")
        reasoned = controlled(reasoned, control, recipe.seed)
    if "label" not in FORMS[target]:
        return reasoned
    by_id = {row.id: row for row in reasoned}
    return [by_id.get(row.id, row) for row in train]


def _train(
    job: Job,
    target: Target,
    rows: Sequence[Example | ReasonedExample],
    folder: Path,
    metrics: Path,
    training: ClassifierTrainingConfig | None = None,
) -> StageResult:
    """Train and save a model for the target; `training` replaces the recipe's settings."""
    from whylabel.models.load import load
    from whylabel.stages.classifier import save_checked, train_classifier

    recipe = job.inputs.recipe
    loaded = load(recipe.base_model, device=recipe.device, dtype="float32")
    checkpoints = job.checkpoints(folder)
    card, trained = train_classifier(
        loaded,
        rows,
        job.inputs.labels,
        recipe,
        target=target,
        title=job.stage,
        checkpoints=checkpoints,
        lineage=job.lineage(),
        validation=job.inputs.dataset.validation,
        training=training,
    )
    card = replace(card, columns=job.inputs.columns)
    with whole_folder(folder) as aside:
        save_checked(loaded, card, rows, aside)
    write_json(metrics, trained)
    job.discard(checkpoints.parent)
    return StageResult(len(rows), int(trained["tokens"]), {"content": trained_content(folder)})
