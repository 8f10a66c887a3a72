"""The evidence for the predictions that the report shows: measured once, after the comparison, and kept."""

from __future__ import annotations

from pathlib import Path

from whylabel.evaluation.evidence import evidence_key, read_evidence, write_evidence
from whylabel.evaluation.outcomes import Predictions
from whylabel.evaluation.predictions import PredictionRow
from whylabel.host.progress import progress
from whylabel.pipeline.calibrate import calibrated_content
from whylabel.pipeline.job import Job
from whylabel.types import Evidence


def explain_shown(job: Job) -> None:
    """Measure on which stretches of their texts the labels rest that the report shows, and keep it.

    Only what is missing is measured, so that a run whose evaluation is current loads no model.
    """
    from whylabel.report.examples import shown_predictions

    run, recipe = job.run, job.inputs.recipe
    shown = shown_predictions(Predictions.of_file(run.predictions), recipe.evaluation.shown)
    if shown is None:
        return
    stage = f"calibrate-{shown.model}"
    content = run.content(stage)
    kept = read_evidence(run.evidence, content)
    rows = [item.row for item in (*shown.right, *shown.wrong) if item.row.prediction.status != "failed"]
    missing = [row for row in rows if evidence_key(row) not in kept]
    if not missing:
        return
    folder = {"baseline": run.baseline_model, "classifier": run.classifier_model}[shown.model]
    job.require_model(stage, folder, calibrated_content(folder))
    found = {key: kept[key] for key in map(evidence_key, rows) if key in kept}
    write_evidence(run.evidence, content, {**found, **_measured(missing, folder, recipe.device)})


def _measured(rows: list[PredictionRow], folder: Path, device: str) -> dict[str, tuple[Evidence, ...]]:
    from whylabel.prediction.trained import TrainedClassifier

    model = TrainedClassifier.from_folder(folder, device=device)
    texts = [(row.prediction.id, row.text) for row in rows]
    found = {}
    with progress("evidence for the report", total=len(rows)) as bar:
        explained = model.with_evidence(texts, [row.prediction for row in rows])
        for row, prediction in zip(rows, explained, strict=True):
            found[evidence_key(row)] = prediction.evidence or ()
            bar.advance(1)
    return found
