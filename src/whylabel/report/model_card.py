"""The model card: what a new user must know before using the trained classifier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from whylabel.host.atomic import write_text
from whylabel.models.packaged import PACKAGED_MODELS
from whylabel.prediction.card import MODES
from whylabel.report.account import account_of
from whylabel.report.charts import models_of, modes_of
from whylabel.report.contents import RunContents, read_run
from whylabel.report.current import target_of
from whylabel.report.data import leaks_of
from whylabel.report.front_matter import base_model, data_source, front_matter, known_licence
from whylabel.report.multi_label import verdict_of
from whylabel.report.quality import judged_of, quality_of, readers_sentences
from whylabel.report.rendering import render_markdown
from whylabel.report.verdict import MODE_NAMES, model_name
from whylabel.run_folder import RunFolder

_WRITES = {"fast": "gives", "adaptive": "gives, after a reasoning where it is unsure,"}
"""What the model does in a mode; in all others it writes a reasoning first."""


def write_model_card(run: RunFolder) -> Path:
    """Write `MODEL_CARD.md` from the files of the run folder, and return its path.

    Raises `RunFolderError` if there is no run folder or a file in it is damaged.
    """
    write_text(run.model_card, render_model_card(read_run(run)))
    return run.model_card


def render_model_card(contents: RunContents, *, repository: str | None = None) -> str:
    """Return the card: Hugging Face's YAML front matter, then Markdown.

    `repository` is the model's name on the hub, if it is published there.
    """
    task = contents.recipe.get("task") or {}
    return render_markdown(
        "model_card.md.j2",
        front_matter=Markup(front_matter(contents)),  # noqa: S704 - YAML, quoted by its writer
        run=contents,
        repository=repository and Markup(repository),  # noqa: S704 - the user's own argument
        place=Markup(repository.rpartition("/")[2] if repository else "PATH_TO_THIS_MODEL"),  # noqa: S704
        question=task.get("question"),
        writes=_WRITES.get(_default_mode(contents) or "", "writes its reasoning, then gives"),
        can_reason=target_of(contents.recipe) in ("dual", "reasoning_label"),
        account=account_of(contents),
        leaks=leaks_of(contents.inspection),
        base_model=base_model(contents.recipe, contents.base_fingerprint),
        licence=known_licence(contents.recipe),
        quantisation=_quantisation(contents),
        source=data_source(contents.recipe),
        labels=_labels(contents),
        verdict=verdict_of(contents.evaluation),
        by_label=task.get("type") == "multi_label",
        model_name=model_name,
        mode_names=MODE_NAMES,
        models=models_of(contents.evaluation),
        modes=modes_of(contents.evaluation),
        # What is published names nobody.
        readers=readers_sentences(contents.readers, named=repository is None),
        judged=judged_of(contents.evaluation),
        quality=quality_of(contents.evaluation),
        versions=contents.manifest.get("versions") or {},
        splits=_splits(contents.manifest),
        stages=contents.stages,
    )


def _default_mode(contents: RunContents) -> str | None:
    """Return the mode in which the model answers: as it was evaluated, else the first of its target."""
    mode = (contents.evaluation.get("classifier") or {}).get("mode")
    return mode or next(iter(_modes(contents)), None)


def _modes(contents: RunContents) -> tuple[str, ...]:
    """Return the modes of the model's target; none if that is not known."""
    return next((modes for target, modes in MODES.items() if target == contents.target), ())


def _quantisation(contents: RunContents) -> str | None:
    """Return the form from which the base model's weights were de-quantised; None if they were not."""
    recorded = (contents.manifest.get("base_model") or {}).get("quantisation")
    packaged = PACKAGED_MODELS.get(str(contents.recipe.get("base_model")))
    # Earlier versions did not record it.
    return recorded or (packaged.quantisation if packaged else None)


def _labels(contents: RunContents) -> list[str]:
    declared = (contents.recipe.get("task") or {}).get("labels")
    return [str(label) for label in contents.evaluation.get("labels") or declared or ()]


def _splits(manifest: Mapping[str, Any]) -> dict[str, Any]:
    rows = (manifest.get("data") or {}).get("rows") or {}
    return {name: rows[name] for name in ("train", "validation", "test") if name in rows}
