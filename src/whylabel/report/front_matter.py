"""The head of the model card, by Hugging Face's specification: licence, language, data, base model, results.

The specification is that of https://github.com/huggingface/hub-docs/blob/main/modelcard.md. A value that is not known
has no entry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from whylabel.host.paths import expanded
from whylabel.models.licence import Licence, licence_of
from whylabel.models.load import is_gguf
from whylabel.models.packaged import PACKAGED_MODELS
from whylabel.report.contents import RunContents
from whylabel.report.formats import is_number

_METRICS: tuple[tuple[str, str, str, dict[str, str] | None], ...] = (
    ("accuracy", "Accuracy", "accuracy", None),
    ("f1", "Micro-F1", "micro_f1", {"average": "micro"}),
    ("f1", "Macro-F1", "macro_f1", {"average": "macro"}),
)
"""Type, name, key in `evaluation/metrics.json` and arguments of each metric."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SAMPLE = 200
"""How many texts are read to tell the language."""


def front_matter(contents: RunContents) -> str:
    """Return the YAML between the two lines of dashes."""
    base = base_model(contents.recipe, contents.base_fingerprint)
    source = data_source(contents.recipe)
    values: dict[str, Any] = {
        **_licence(known_licence(contents.recipe)),
        **_language(contents),
        # Not `transformers`: its pipeline would put a head of random weights on this causal LM.
        "library_name": "whylabel",
        "pipeline_tag": "text-classification",
        "tags": [
            *("whylabel", "text-classification"),
            *(() if contents.target == "label" else ("reasoning",)),
            "generated_from_trainer",
        ],
    }
    if _HUB_ID.fullmatch(base):
        values |= {"base_model": base, "base_model_relation": "finetune"}
    if source.startswith("hub:"):
        values["datasets"] = [_data_set(source)["type"]]
    if results := _results(contents, source):
        values["metrics"] = list(dict.fromkeys(metric["type"] for metric in results["metrics"]))
        values["model-index"] = [{"name": contents.name, "results": [results]}]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def base_model(recipe: Mapping[str, Any], fingerprint: str | None = None) -> str:
    """Return the hub id of the base model, or the name of its file or folder, without the path.

    `fingerprint` is what was recorded of it: that of a model of the hub begins with its id.
    """
    name = str(recipe.get("base_model") or "unknown")
    if name in PACKAGED_MODELS:
        return PACKAGED_MODELS[name].hub_id
    # Only the name of a local file: the card must not reveal paths on the disk of whoever trained the model.
    local = not _HUB_ID.fullmatch(name) or name.startswith((".", "~")) or is_gguf(name)
    known = expanded(name).exists() if fingerprint is None else not fingerprint.startswith(f"{name}@")
    return Path(name).name if local or known else name


def data_source(recipe: Mapping[str, Any]) -> str:
    """Return `hub:...`, `builtin:...`, or the name of the file or folder that the data came from."""
    source = str((recipe.get("data") or {}).get("source") or "unknown")
    return source if source.startswith(("hub:", "builtin:")) else Path(source).name


def known_licence(recipe: Mapping[str, Any]) -> Licence | None:
    """Return the licence of the base model, None if it is not known."""
    return licence_of(str(recipe.get("base_model") or "unknown"))


def _licence(licence: Licence | None) -> dict[str, str]:
    if licence is None:
        return {}
    more = {"license_name": licence.name, "license_link": licence.link}
    return {"license": licence.identifier, **{key: value for key, value in more.items() if value}}


def _language(contents: RunContents) -> dict[str, list[str]]:
    from whylabel.text.language import main_languages

    texts = [row.text for row in contents.predictions.spread(_SAMPLE)]
    if not texts:
        return {}
    found = main_languages(texts)
    return {"language": found} if found else {}


def _results(contents: RunContents, source: str) -> dict[str, Any] | None:
    classifier = contents.evaluation.get("classifier") or {}
    metrics = [
        {
            "type": kind,
            "name": name,
            "value": round(classifier[key], 4),
            **({"args": arguments} if arguments else {}),
        }
        for kind, name, key, arguments in _METRICS
        if is_number(classifier.get(key))
    ]
    if not metrics:
        return None
    return {
        "task": {"type": "text-classification", "name": "Text Classification"},
        "dataset": _tested_on(contents, source, classifier.get("n")),
        "metrics": metrics,
    }


def _tested_on(contents: RunContents, source: str, rows: int | None) -> dict[str, Any]:
    """Return what the figures are of: the test split, rows that were cut from train, or a file of its own."""
    arguments: dict[str, Any] = {"rows": rows} if rows else {}
    own_file = (contents.recipe.get("data") or {}).get("test")
    cut = ((contents.manifest.get("data") or {}).get("inferred") or {}).get("test")
    if own_file:
        found = _data_set(Path(str(own_file)).name)
    else:
        found = {**_data_set(source), "split": "train" if cut else "test"}
        arguments |= {"cut": str(cut)} if cut else {}
    return {**found, **({"args": arguments} if arguments else {})}


def _data_set(source: str) -> dict[str, str]:
    name, _, config = (
        source.removeprefix("hub:").partition(":") if source.startswith("hub:") else (source, "", "")
    )
    return {"type": name, "name": source, **({"config": config} if config else {})}
