"""The work of stage 2a: run the reasoner and, if there is one, the verifier over the train rows; rehearse it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whylabel.errors import RunFolderError
from whylabel.host.atomic import as_written, read_json, write_json
from whylabel.host.progress import say
from whylabel.models.fingerprint import model_fingerprint
from whylabel.models.load import CARD
from whylabel.pipeline.fluency import is_judged, judge_identity, open_judge, with_fluency_limit
from whylabel.pipeline.folds import fold_models, fold_of_rows, folds_content
from whylabel.pipeline.inputs import Inputs
from whylabel.pipeline.job import Job, StageResult
from whylabel.reasonings.losses import shown
from whylabel.run_folder import RunFolder

if TYPE_CHECKING:
    from whylabel.stages.augment import Rehearsal, Retry
    from whylabel.stages.augment.verification import Verifier, Verifiers


def augment_stage(
    job: Job, settings: Mapping[str, Any], verifier: str | None, retry: frozenset[Retry]
) -> StageResult:
    """Write a reasoning for every train row, and sort the reasonings into kept and dropped ones.

    `settings` is everything that decides a reasoning, `verifier` the identity of what judges it. `retry` names rows
    that are written again although the store has them.
    """
    from whylabel.reasonings.store import open_store
    from whylabel.stages.augment import Work, augment, open_reasoner

    inputs, run = job.inputs, job.run
    if inputs.trains_reasoner:
        job.require_model("train-reasoner", run.reasoner_model, model_fingerprint(str(run.reasoner_model)))
    filters = with_fluency_limit(inputs, inputs.filters)
    config = inputs.recipe.augment.model_copy(update={"filters": filters})
    opened = open_reasoner(inputs.recipe, _reasoner(inputs, run), settings, inputs.briefing)
    with open_store(run.store) as store, opened as reasoner:
        verifies = _verifiers(job, verifier)
        separator = inputs.multi_label.separator if inputs.multi_label else None
        fluency = _fluency(inputs) if is_judged(filters) else None
        work = Work(reasoner, store, config, verifies, retry, _excluded(inputs, run), separator, fluency)
        outcome = augment(inputs.dataset.train, work, kept=run.kept, dropped=run.dropped)
    write_json(run.augment_metrics, outcome.to_json())
    found = outcome.sorted
    reasons = "".join(f", {count:,} {reason}" for reason, count in found.dropped.most_common())
    say(
        f"  {found.rows:,} rows in = {found.kept:,} kept + {found.dropped.total():,} dropped{reasons} "
        f"+ {found.failed:,} failed"
    )
    _say_own(found.conditions["own"], found.own_refused)
    for warning in shown(found.losses.uneven()):
        say(warning)
    return StageResult(found.rows, outcome.written.tokens, {"content": found.content}, found.failed)


def _say_own(count: int, refused: Counter[str]) -> None:
    """Say how many rows keep the reasoning that they came with, and what the filters would have said of it."""
    if not count:
        return
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in refused.most_common())
    against = f"; the filters would have dropped {refused.total():,} of them: {reasons}" if reasons else ""
    say(f"  {count:,} of the kept rows came with their reasoning{against}")


def require_reasonings(run: RunFolder) -> None:
    """Raise `RunFolderError` if no reasoning was kept: training a model that needs them would be useless."""
    found = read_json(run.augment_metrics, dict)
    with as_written(run.augment_metrics):
        kept, rows = int(found["kept"]), int(found["rows"])
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in found["dropped_by_reason"].items())
        failed = f"{found['failed']:,} failed" if found["failed"] else ""
    if kept == 0:
        raise RunFolderError(
            f"No reasoning was kept of {rows:,}: {', '.join(filter(None, [reasons, failed]))}.",
            where=str(run.dropped),
            fix="look at them with: whylabel reasonings RUN --state dropped; then change augment.filters, "
            "augment.verification or the reasoner, or train without reasonings: classifier.target=label",
        )


def rehearse_augment(
    inputs: Inputs, run: RunFolder, settings: Mapping[str, Any], suspects_known: bool, retry: frozenset[Retry]
) -> Rehearsal:
    """Return what the stage would write, with estimates of tokens and time; nothing is stored.

    `suspects_known` says whether the stage `suspects` has been done; `retry` is as in `augment_stage`.
    """
    from whylabel.reasonings.store import open_store
    from whylabel.stages.augment import Work, open_reasoner, rehearse

    excluded = _excluded(inputs, run) if suspects_known else frozenset()
    opened = open_reasoner(inputs.recipe, _reasoner(inputs, run), settings, inputs.briefing)
    with tempfile.TemporaryDirectory() as scratch:
        path = run.store if run.store.exists() else Path(scratch) / "store.sqlite"
        with open_store(path) as store, opened as reasoner:
            work = Work(reasoner, store, inputs.recipe.augment, retry=retry, excluded=excluded)
            return rehearse(inputs.dataset.train, work)


def _reasoner(inputs: Inputs, run: RunFolder) -> str:
    """Return the model that writes; where nothing is to be written, the base model stands in."""
    return str(run.reasoner_model) if inputs.trains_reasoner else inputs.recipe.base_model


def _excluded(inputs: Inputs, run: RunFolder) -> frozenset[str]:
    """Return the ids of the rows that get no reasoning because their label looks wrong."""
    from whylabel.stages.suspects import read_suspects

    suspects = inputs.recipe.augment.suspects
    if suspects.folds is None or not suspects.exclude:
        return frozenset()
    return frozenset(row.id for row in read_suspects(run.suspects))


def _verifiers(job: Job, identity: str | None) -> Verifiers | None:
    """Return what judges the reasonings; no model is loaded yet."""
    from whylabel.stages.augment.verification import Verifiers

    recipe, run = job.inputs.recipe, job.run
    name = recipe.augment.verification.verifier
    if name is None:
        return None
    if not recipe.augment.judged_by_baselines:
        source = recipe.base_model if name == "base" else name
        return Verifiers(str(identity), [partial(_open_verifier, job, source)])
    job.require_model("train-folds", run.folds, folds_content(run))
    opened = [partial(_open_verifier, job, str(folder)) for folder in fold_models(run)]
    return Verifiers(str(identity), opened, fold_of_rows(run))


def _fluency(inputs: Inputs) -> Verifiers:
    from whylabel.stages.augment.verification import Verifiers

    return Verifiers(judge_identity(inputs), [partial(open_judge, inputs)])


def _open_verifier(job: Job, source: str) -> Verifier:
    from whylabel.models.load import check_prompt_format, load, read_card
    from whylabel.stages.augment.verification import Verifier
    from whylabel.text.prompts import Prompts

    recipe = job.inputs.recipe
    card = read_card(Path(source)) if (Path(source) / CARD).exists() else {}
    trained = card.get("target") == "label"
    if trained:
        check_prompt_format(card, Path(source))
    if not recipe.augment.judged_by_baselines and _has_seen(card, job.inputs):
        say(
            "  Warning: this verifier was trained on these rows, so that its verdicts on them say little: "
            "use augment.verification.verifier=baseline"
        )
    loaded = load(source, device=recipe.device)
    prompts = Prompts(loaded.tokenizer, recipe.prompt_style, recipe.task.question, recipe.task.name)
    return Verifier(loaded, prompts, job.inputs.labels, trained, recipe.data.max_text_tokens)


def _has_seen(card: Mapping[str, Any], inputs: Inputs) -> bool:
    """Return whether a model of ours was trained on the labels of these very rows."""
    data = (card.get("lineage") or {}).get("data") or {}
    return "target" in card and data.get("fingerprint") == inputs.description["fingerprint"]
