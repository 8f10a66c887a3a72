"""The work of the stage `evaluate`: run both models on the test rows, then compare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from whylabel.data.leakage import texts_in_train
from whylabel.evaluation.cost import StageCost, stage_costs
from whylabel.host.atomic import read_json, write_json
from whylabel.host.machine import hardware
from whylabel.host.progress import say
from whylabel.models.load import read_card
from whylabel.pipeline.answers import Answers, answer_all, answers_file
from whylabel.pipeline.calibrate import calibrated_content
from whylabel.pipeline.job import Job, StageResult
from whylabel.pipeline.quality import judge_reasonings
from whylabel.pipeline.rivals import rival_answers
from whylabel.pipeline.slices import slices
from whylabel.prediction.card import ModelCard
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import fingerprint
from whylabel.types import Mode


def evaluate_stage(job: Job) -> StageResult:
    """Compare classifier and baseline on the test split."""
    from whylabel.evaluation.evaluate import SINGLE_LABEL, evaluate
    from whylabel.evaluation.mended import reasoning_effect
    from whylabel.evaluation.multi_label import measures_by_label
    from whylabel.evaluation.outcomes import Predictions
    from whylabel.evaluation.predictions import write_predictions
    from whylabel.evaluation.quality import explaining_mode
    from whylabel.evaluation.review import review

    inputs, run, config = job.inputs, job.run, job.inputs.recipe.evaluation
    dataset, multi_label = inputs.dataset, inputs.multi_label
    inputs.check_test()
    baseline, _ = _predict(job, "baseline", run.baseline_model, [])
    classifier, mode = _predict(job, "classifier", run.classifier_model, config.modes)
    if config.floors:
        say(f"  evaluate {', '.join(config.floors)}: learning from {len(dataset.train):,} train rows")
    measures = measures_by_label(multi_label.separator, dataset.validation) if multi_label else SINGLE_LABEL
    rivals = rival_answers(job, measures)
    outcome = evaluate(
        dataset.test,
        dataset.train,
        inputs.labels,
        {"baseline": next(iter(baseline.values())), "classifier": classifier[mode]},
        config,
        inputs.recipe.seed,
        modes=classifier,
        measures=measures,
        rivals=rivals,
    )
    write_predictions(run.predictions, outcome.rows)
    metrics = outcome.to_json()
    judged = judge_reasonings(job, outcome.predictions, explaining_mode(metrics))
    reviewed = review(
        outcome.predictions,
        mode,
        inputs.labels,
        multi_label,
        config.error_rates,
        bootstrap_samples=config.bootstrap_samples,
        seed=inputs.recipe.seed,
    )
    effect = reasoning_effect(Predictions.of_file(run.predictions), explaining_mode(metrics))
    card = _card(run)
    added = {
        "target": card.target,
        "calibrated": card.is_calibrated,
        "seen_in_training": asdict(texts_in_train(dataset.train, {"test": dataset.test})[0]),
        "slices": [asdict(each) for each in slices(inputs, outcome.predictions, mode)],
        "review": [asdict(each) for each in reviewed],
        "reasoning_effect": effect and asdict(effect),
        "reasonings_judged": judged and asdict(judged),
        "cost": {"stages": {name: asdict(each) for name, each in _stage_costs(job).items()}},
    }
    write_json(run.evaluation_metrics, {**metrics, **added})
    failed = failed_predictions(baseline) + failed_predictions(classifier)
    return StageResult(len(dataset.test), generated_tokens(classifier), {}, failed)


def _card(run: RunFolder) -> ModelCard:
    return ModelCard.from_json(read_card(run.classifier_model), run.classifier_model)


def _stage_costs(job: Job) -> dict[str, StageCost]:
    """Return what the stages took that this recipe has, by their metrics."""
    run = job.run
    files = {"train-baseline": run.baseline_metrics, "train-classifier": run.classifier_metrics}
    if job.inputs.recipe.classifier.target != "label":
        own = {"train-reasoner": run.reasoner_metrics} if job.inputs.trains_reasoner else {}
        files = {**own, "augment": run.augment_metrics, **files}
    return stage_costs({name: read_json(path, dict) for name, path in files.items() if path.exists()})


def _predict(job: Job, name: str, folder: Path, requested: Sequence[Mode] | None) -> tuple[Answers, Mode]:
    """Return a model's predictions on the test rows by mode, and its default mode.

    The default mode is always evaluated, beside the `requested` ones. None: all that the model has, except `vote`.
    """
    from whylabel.prediction.trained import TrainedClassifier

    job.require_model(f"calibrate-{name}", folder, calibrated_content(folder))
    recipe = job.inputs.recipe
    model = TrainedClassifier.from_folder(
        folder,
        device=recipe.device,
        engine=recipe.classifier.engine,
        engine_options=recipe.classifier.engine_options,
    )
    wanted = [mode for mode in model.card.modes if mode != "vote"] if requested is None else requested
    modes = tuple(dict.fromkeys((model.mode, *wanted)))
    rows = [(row.id, row.text) for row in job.inputs.dataset.test]
    return answer_all(model, name, rows, modes, _kept_answers(job, name, modes)), model.mode


def _kept_answers(job: Job, name: str, modes: Sequence[Mode]) -> Path:
    """Return the file of exactly these answers; those of another model, other rows, modes or hardware are removed."""
    content = job.run.content(f"calibrate-{name}")
    key = fingerprint(content, job.inputs.data_fingerprints["test"], sorted(modes), hardware())
    return answers_file(job.run.answers, name, key)


def failed_predictions(predictions: Answers) -> int:
    """Return how many predictions failed, in all modes together."""
    return sum(row.status == "failed" for rows in predictions.values() for row in rows)


def generated_tokens(predictions: Answers) -> int:
    """Return the number of generated tokens: all modes except `vote` share one reasoning per row."""
    by_mode = {mode: [row.tokens for row in rows] for mode, rows in predictions.items()}
    votes = by_mode.pop("vote", [])
    shared: list[int] = [max(row) for row in zip(*by_mode.values(), strict=True)]
    return sum(votes) + sum(shared)
