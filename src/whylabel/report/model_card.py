"""The model card: what a new user must know before using the trained classifier."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from whylabel.host.atomic import write_text
from whylabel.models.packaged import PACKAGED_MODELS
from whylabel.report.charts import models_of, modes_of
from whylabel.report.contents import RunContents, read_run
from whylabel.report.formats import is_number
from whylabel.report.multi_label import verdict_of
from whylabel.report.quality import judged_of, quality_of, readers_sentences
from whylabel.report.rendering import render_markdown
from whylabel.report.verdict import MODE_NAMES, model_name
from whylabel.run_folder import RunFolder

_METRICS = (
    ("accuracy", "Accuracy", "accuracy"),
    ("f1", "Micro-F1", "micro_f1"),
    ("f1", "Macro-F1", "macro_f1"),
)
_HUB_IDS = {"smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct"}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def write_model_card(run: RunFolder) -> Path:
    """Write `MODEL_CARD.md` from the files of the run folder, and return its path.

    Raises `RunFolderError` if there is no run folder or a file in it is damaged.
    """
    write_text(run.model_card, render_model_card(read_run(run)))
    return run.model_card


def render_model_card(contents: RunContents) -> str:
    """Return the card: Hugging Face's YAML front matter, then Markdown."""
    task = contents.recipe.get("task") or {}
    return render_markdown(
        "model_card.md.j2",
        front_matter=Markup(_front_matter(contents)),
        run=contents,
        question=task.get("question"),
        base_model=_base_model(contents.recipe),
        quantisation=_quantisation(contents),
        source=_source(contents.recipe),
        labels=_labels(contents),
        verdict=verdict_of(contents.evaluation),
        by_label=task.get("type") == "multi_label",
        model_name=model_name,
        mode_names=MODE_NAMES,
        models=models_of(contents.evaluation),
        modes=modes_of(contents.evaluation),
        readers=readers_sentences(contents.readers),
        judged=judged_of(contents.evaluation),
        quality=quality_of(contents.evaluation),
        versions=contents.manifest.get("versions") or {},
        splits=_splits(contents.manifest),
        stages=contents.stages,
    )


def _front_matter(contents: RunContents) -> str:
    values: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["whylabel", "text-classification", "reasoning", "generated_from_trainer"],
    }
    base_model = _base_model(contents.recipe)
    if _HUB_ID.fullmatch(base_model):
        values["base_model"] = base_model
    results = _results(contents)
    if results:
        values["model-index"] = [{"name": contents.name, "results": [results]}]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _results(contents: RunContents) -> dict[str, Any] | None:
    classifier = contents.evaluation.get("classifier") or {}
    metrics = [
        {"type": kind, "name": name, "value": round(classifier[key], 4)}
        for kind, name, key in _METRICS
        if is_number(classifier.get(key))
    ]
    if not metrics:
        return None
    source = _source(contents.recipe)
    return {
        "task": {"type": "text-classification"},
        "dataset": {"type": source.removeprefix("hub:"), "name": source, "split": "test"},
        "metrics": metrics,
    }


def _base_model(recipe: Mapping[str, Any]) -> str:
    name = str(recipe.get("base_model") or "unknown")
    name = _HUB_IDS.get(name, name)
    # Only the name of a local file: the card must not reveal paths on the disk of whoever trained the model.
    local = name.startswith((".", "/", "~")) or name.lower().endswith(".gguf") or Path(name).exists()
    return Path(name).name if local else name


def _quantisation(contents: RunContents) -> str | None:
    """Return the form from which the base model's weights were de-quantised; None if they were not."""
    recorded = (contents.manifest.get("base_model") or {}).get("quantisation")
    packaged = PACKAGED_MODELS.get(str(contents.recipe.get("base_model")))
    # Earlier versions did not record it.
    return recorded or (packaged.quantisation if packaged else None)


def _source(recipe: Mapping[str, Any]) -> str:
    source = str((recipe.get("data") or {}).get("source") or "unknown")
    return source if source.startswith(("hub:", "builtin:")) else Path(source).name


def _labels(contents: RunContents) -> list[str]:
    declared = (contents.recipe.get("task") or {}).get("labels")
    return [str(label) for label in contents.evaluation.get("labels") or declared or ()]


def _splits(manifest: Mapping[str, Any]) -> dict[str, Any]:
    rows = (manifest.get("data") or {}).get("rows") or {}
    return {name: rows[name] for name in ("train", "validation", "test") if name in rows}
