"""The work of the stages `calibrate-baseline` and `calibrate-classifier`: calibrate a model on validation rows.

This changes only `whylabel.json`, never the weights.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from whylabel.host.atomic import read_json, write_json
from whylabel.models.fingerprint import model_fingerprint
from whylabel.models.load import CARD, read_card
from whylabel.pipeline.fluency import with_fluency_limit
from whylabel.pipeline.job import Job, StageResult
from whylabel.prediction.card import CALIBRATED, CALIBRATED_LATER, DESCRIBING, WRITING, ModelCard
from whylabel.text.hashes import fingerprint


def calibrate_stage(job: Job, folder: Path, metrics: Path) -> StageResult:
    """Fit a trained model's probabilities to validation rows, and choose its default mode.

    `folder` holds the model, `metrics` the figures of its training.
    """
    from whylabel.models.load import load
    from whylabel.prediction.engine import PredictionEngine
    from whylabel.stages.classifier import calibrate_classifier, uncalibrated

    recipe, validation = job.inputs.recipe, job.inputs.dataset.validation
    job.require_model(job.stage.replace("calibrate-", "train-"), folder, trained_content(folder))
    card = ModelCard.from_json(read_card(folder), folder)
    figures = read_json(metrics, dict)
    start = uncalibrated(card, recipe, figures.get("reasoning_budget", card.max_reasoning_tokens))
    if any(mode in WRITING for mode in start.modes):
        start = replace(start, filters=with_fluency_limit(job.inputs, start.filters))
    loaded = load(str(folder), device=recipe.device)
    engine = PredictionEngine(loaded, recipe.classifier.engine, recipe.classifier.engine_options)
    with closing(engine):
        card = calibrate_classifier(loaded, start, validation, recipe, engine)
    write_json(folder / CARD, card.to_json())
    return StageResult(len(validation), 0, {"content": calibrated_content(folder)})


def trained_content(folder: Path) -> str:
    """Return a hash of what a training made: weights, tokenizer and everything else that decides answers."""
    card, others = read_card(folder), (*CALIBRATED, *CALIBRATED_LATER, *DESCRIBING)
    decided = {name: value for name, value in card.items() if name not in others}
    return fingerprint(model_fingerprint(str(folder)), decided)


def calibrated_content(folder: Path) -> str:
    """Return a hash of everything that decides a model's answers, calibration included."""
    card = read_card(folder)
    later = {name: card[name] for name in CALIBRATED_LATER if name in card}
    return fingerprint(trained_content(folder), {name: card.get(name) for name in CALIBRATED} | later)
