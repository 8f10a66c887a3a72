"""The judgements behind `evaluation/judged.py`: models read a sample of the classifier's reasonings."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from whylabel.evaluation.judged import (
    JudgedQuality,
    Judgement,
    Quoted,
    judged_quality,
    quoted_evidence,
    quoted_stretches,
)
from whylabel.evaluation.predictions import PredictionRow
from whylabel.host.progress import Progress, progress
from whylabel.pipeline.job import Job
from whylabel.types import Mode, ReasonedExample

_AT_ONCE = 16
# At its borders a text may be encoded in other tokens than by itself.
_SPARE_TOKENS = 8


def judge_reasonings(
    job: Job, predictions: Mapping[tuple[str, Mode], Sequence[PredictionRow]], mode: Mode
) -> JudgedQuality | None:
    """Let models judge a sample of the reasonings that the classifier has written in a mode; None if there is none.

    The base model, untrained, says how fluent they are, beside as many that the classifier was trained on, and
    whether they lead to their label. The classifier says on which stretches of the text the label rests.
    """
    from whylabel.reasonings.controls import controlled
    from whylabel.reasonings.files import iterate_kept

    recipe, run = job.inputs.recipe, job.run
    size, rng = recipe.evaluation.quality_rows, random.Random(recipe.seed)
    rows = predictions.get(("classifier", mode), ())
    written = [place for place, row in enumerate(rows) if row.prediction.reasoning]
    sample = [rows[place] for place in rng.sample(written, min(size, len(written)))]
    if not sample:
        return None
    training = list(iterate_kept(run.kept)) if run.kept.exists() else []
    if recipe.classifier.control is not None:
        training = controlled(training, recipe.classifier.control, recipe.seed)
    training = rng.sample(training, min(size, len(training)))
    with progress("quality of the reasonings", total=3 * len(sample) + len(training)) as bar:
        overlaps = _overlaps(job, sample, bar)
        fluencies, training_fluencies, margins = _judged_by_base_model(job, sample, training, bar)
    judgements = [
        Judgement(fluency, margin, overlap)
        for fluency, margin, overlap in zip(fluencies, margins, overlaps, strict=True)
    ]
    return judged_quality(mode, judgements, training_fluencies)


def _overlaps(job: Job, sample: Sequence[PredictionRow], bar: Progress) -> list[Quoted | None]:
    """Return for each row how much of what its reasoning quotes is evidence for its label."""
    from whylabel.prediction.trained import TrainedClassifier

    found: list[Quoted | None] = [None] * len(sample)
    # Evidence takes up to 13 scorings a text: only where it is of use.
    quoting = [
        (place, row)
        for place, row in enumerate(sample)
        if quoted_stretches(row.prediction.reasoning or "", row.text)
    ]
    bar.advance(len(sample) - len(quoting))
    if not quoting:
        return found
    model = TrainedClassifier.from_folder(job.run.classifier_model, device=job.inputs.recipe.device)
    for start in range(0, len(quoting), _AT_ONCE):
        part = quoting[start : start + _AT_ONCE]
        texts = [(row.prediction.id, row.text) for _, row in part]
        explained = model.with_evidence(texts, [row.prediction for _, row in part])
        for (place, row), prediction in zip(part, explained, strict=True):
            found[place] = quoted_evidence(
                row.prediction.reasoning or "", row.text, prediction.evidence or ()
            )
        bar.advance(len(part))
    return found


def _judged_by_base_model(
    job: Job, sample: Sequence[PredictionRow], training: Sequence[ReasonedExample], bar: Progress
) -> tuple[list[float], list[float], list[float]]:
    """Return the fluency of the sample, that of the training reasonings, and the margins of the sample."""
    from whylabel.models.capabilities import positions_of
    from whylabel.models.load import load
    from whylabel.prediction.fluency import Fluency
    from whylabel.stages.augment.verification import Verifier
    from whylabel.text.prompts import Prompts

    recipe, labels = job.inputs.recipe, job.inputs.labels
    loaded = load(recipe.base_model, device=recipe.device)
    prompts = Prompts(loaded.tokenizer, recipe.prompt_style, recipe.task.question, recipe.task.name)
    fluency, verifier = Fluency(loaded, prompts), Verifier(loaded, prompts, labels, trained=False)
    positions = positions_of(loaded.model)
    longest_label = max(len(prompts.answer_ids(name)) for name in labels.names)

    def fitting(row: ReasonedExample) -> ReasonedExample:
        """Return the row with its text trimmed to what the classifier reads and the base model's positions hold."""
        room = recipe.data.max_text_tokens
        if positions is not None:
            rest = (
                len(prompts.recovery(f"a\n{prompts.question}", row.reasoning)) + longest_label + _SPARE_TOKENS
            )
            room = min(room or positions, max(1, positions - rest))
        return row if room is None else replace(row, text=prompts.trim(row.text, room))

    def fluency_of(row: ReasonedExample) -> float:
        bar.advance()
        return fluency.of(row.text, row.reasoning)

    own = [
        fitting(
            ReasonedExample(row.prediction.id, row.text, row.prediction.label, row.prediction.reasoning or "")
        )
        for row in sample
    ]
    fluencies, of_training = ([fluency_of(row) for row in rows] for rows in (own, map(fitting, training)))
    margins = []
    for start in range(0, len(own), _AT_ONCE):
        part = own[start : start + _AT_ONCE]
        margins += [lift.margin for lift in verifier.lifts(part)]
        bar.advance(len(part))
    return fluencies, of_training, margins
