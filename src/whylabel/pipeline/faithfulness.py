"""Is the reasoning used: measured on request after the comparison, and kept in `evaluation/faithfulness.json`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.errors import RecipeError
from whylabel.evaluation.predictions import PredictionRow, iterate_predictions
from whylabel.host.atomic import read_json, write_json
from whylabel.host.progress import Progress, progress, say
from whylabel.pipeline.arguments import argue
from whylabel.pipeline.calibrate import calibrated_content
from whylabel.pipeline.job import Job
from whylabel.run_folder import RunFolder
from whylabel.text.hashes import fingerprint
from whylabel.types import Mode

if TYPE_CHECKING:
    from whylabel.evaluation.bootstrap import Floats
    from whylabel.evaluation.faithfulness import Faithfulness
    from whylabel.evaluation.quality import Share
    from whylabel.prediction.trained import TrainedClassifier

_STAGE = "calibrate-classifier"
_READS: tuple[Mode, ...] = ("reasoned", "blend", "vote")
"""The modes whose reasonings are looked at, the preferred one first: of `blend` they are those of `reasoned`."""
_AT_ONCE = 64
_MOST_LOOKED_AT = 2_000
"""Rows that small readers learn from, and whose reasonings are lent to others, at most."""


def require_reading(target: str) -> None:
    """Raise `RecipeError` if a classifier of this target labels without reading a reasoning."""
    if target not in ("dual", "reasoning_label"):
        raise RecipeError(
            f"A classifier of target {target} labels without reading a reasoning: there is no use of it to measure.",
            where="--faithfulness",
            fix="leave it out, or train with classifier.target: dual",
        )


def forget_stale(job: Job) -> None:
    """Remove figures of another model or of other test rows."""
    path = job.run.faithfulness
    if path.exists() and read_json(path, dict).get("of") != _identity(job):
        say("  the figures of faithfulness were of another model or other test rows: they are removed")
        path.unlink()


def measure_faithfulness(job: Job, settings: Mapping[str, Any]) -> None:
    """Measure on a sample of the test rows whether the classifier's labels rest on its reasonings.

    `settings` is everything that decides what the reasoner writes. Nothing is done if these figures are there, for
    this model and reasoner, these rows, sample size and seed. Raises `RecipeError` if there is no reasoning to
    measure, `RunFolderError` if the model is not as its stage has left it.
    """
    from whylabel.evaluation.faithfulness import use_of

    run, config = job.run, job.inputs.recipe.evaluation
    reasoner = fingerprint(settings, job.inputs.recipe.augment.sampling.max_new_tokens)
    mode = _mode(run)
    # Without the mode that it has nearly always, so that older figures stay valid.
    other_mode = () if mode == "reasoned" else (mode,)
    key = fingerprint(_identity(job), reasoner, config.faithfulness_rows, job.inputs.recipe.seed, *other_mode)
    if run.faithfulness.exists() and read_json(run.faithfulness, dict).get("key") == key:
        say("faithfulness: nothing has changed, skipped")
        return
    job.require_model(_STAGE, run.classifier_model, calibrated_content(run.classifier_model))
    found = _measured(job, settings, _kept_arguments(job, reasoner), mode)
    if found is None:
        raise RecipeError(
            "No test row has a reasoning after which a label could be read.",
            where="--faithfulness",
            fix="evaluate a mode that writes some: evaluation.modes=[reasoned]",
        )
    write_json(run.faithfulness, {"of": _identity(job), "key": key, "use": use_of(found), **asdict(found)})


def _mode(run: RunFolder) -> Mode | None:
    """Return the evaluated mode whose reasonings are looked at; None if none writes any."""
    modes = read_json(run.evaluation_metrics, dict).get("modes") or {}
    return next((mode for mode in _READS if mode in modes), None)


def _identity(job: Job) -> str:
    """Return what stands for the model and the test rows."""
    return fingerprint(job.run.content(_STAGE), job.inputs.data_fingerprints["test"])[:16]


def _kept_arguments(job: Job, reasoner: str) -> Path:
    """Return the file of what this reasoner has written for other labels; those of others are removed."""
    own = job.run.answers / f"arguments-{reasoner[:16]}.jsonl"
    for other in job.run.answers.glob(f"arguments-{'[0-9a-f]' * 16}.jsonl"):
        if other != own:
            other.unlink()
    return own


def _measured(job: Job, settings: Mapping[str, Any], kept: Path, mode: Mode | None) -> Faithfulness | None:
    from whylabel.evaluation.faithfulness import MOST_RIVALS, SHARES, measure
    from whylabel.prediction.trained import TrainedClassifier
    from whylabel.stages.augment import open_reasoner

    inputs, run, recipe = job.inputs, job.run, job.inputs.recipe
    places, agreement = _look_through(run.predictions, mode)
    size = min(recipe.evaluation.faithfulness_rows, len(places))
    sample = _drawn(run.predictions, places, recipe.seed, size)
    more = _drawn(run.predictions, places, recipe.seed, min(_MOST_LOOKED_AT, len(places)))
    model = TrainedClassifier.from_folder(run.classifier_model, device=recipe.device)
    rivals = min(MOST_RIVALS, len(inputs.labels) - 1)
    total = size * (len(SHARES) + 5 + 2 * rivals)
    has_reasoner = inputs.trains_reasoner or recipe.reasoner.model is not None
    opened = (
        open_reasoner(recipe, run.reasoner_model, settings, inputs.briefing)
        if has_reasoner
        else nullcontext(None)
    )
    with opened as reasoner, progress("faithfulness", total=total, unit="reasonings") as bar:
        read, written_for = partial(_read, model, bar), partial(argue, kept, reasoner, bar)
        found = measure(sample, more, inputs.labels, read, written_for, recipe.seed)
    if found is None or mode is None:
        return None
    return replace(found, agreement=agreement, simulatability=_simulatability(job, more))


def _read(model: TrainedClassifier, bar: Progress, texts: Sequence[str], reasonings: Sequence[str]) -> Floats:
    """Return log p of every label after the reasonings."""
    import numpy as np

    found = []
    for start in range(0, len(texts), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found.append(model.log_probabilities_after(texts[part], reasonings[part]))
        bar.advance(len(found[-1]))
    return np.concatenate(found)


def _look_through(path: Path, mode: Mode | None) -> tuple[list[int], Share | None]:
    """Return the numbers of the rows that have a reasoning of a mode, and how many of these fast labels alike.

    The share is None if fast was not evaluated.
    """
    from whylabel.evaluation.quality import share_of

    places: list[int] = []
    fast, reasoned = {}, {}
    for place, row in enumerate(iterate_predictions(path)):
        said = row.prediction
        if row.model != "classifier" or said.status == "failed":
            continue
        if said.mode == "fast":
            fast[said.id] = said.label
        if said.mode == mode and said.reasoning is not None:
            places.append(place)
            reasoned[said.id] = said.label
    both = fast.keys() & reasoned.keys()
    same = sum(fast[row_id] == reasoned[row_id] for row_id in both)
    return places, share_of(same, len(both)) if both else None


def _drawn(path: Path, places: Sequence[int], seed: int, count: int) -> list[PredictionRow]:
    """Return so many of the rows with these numbers, drawn at random."""
    drawn = random.Random(seed).sample(places, count)
    rows = dict(zip(sorted(drawn), iterate_predictions(path, at=sorted(drawn)), strict=True))
    return [rows[place] for place in drawn]


def _simulatability(job: Job, rows: Sequence[PredictionRow]) -> Any:
    from whylabel.evaluation.simulatability import simulatability

    say(f"  small readers: learning to tell the labels of {len(rows):,} test rows")
    return simulatability(
        [row.text for row in rows],
        [row.prediction.reasoning or "" for row in rows],
        [row.prediction.label for row in rows],
        job.inputs.labels.names,
        job.inputs.recipe.seed,
    )
