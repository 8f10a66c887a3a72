"""The recipe that `whylabel init` writes: what was found in the data, each field with its explanation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from whylabel.data.inspect import Inspection
from whylabel.recipe import DataConfig, Recipe, TaskConfig, reference
from whylabel.recipe.reasoner import OWN_ROWS

TRAIN_ROWS = 2000
TEST_ROWS = 500
"""A first recipe takes a sample of data with more rows than this: more rows take hours on two CPU cores."""
MIN_STEPS = 100
"""The least number of optimizer steps in a first recipe."""
_GROUNDED = ("ungrounded", "contradiction")
_SURE, _EFFECT, _ATTEMPTS = 0.6, 0.02, 5
_MAX_TEXT_TOKENS = 512
_LONG_WORDS = 300
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class _Optional:
    """A value that is written commented out."""

    value: object


def draft_recipe(
    inspection: Inspection, data: DataConfig, *, name: str, task: TaskConfig | None = None
) -> str:
    """Return a commented recipe as YAML. Without `task`, its name and question come from the label column."""
    task = task or draft_task(inspection)
    explained = {key: text for key, _, _, text in reference()}
    lines = [
        f"# A whylabel recipe for {_one_line(data.source)}.",
        "# Every field there is: whylabel recipe. Lines that begin with # are not read.",
    ]
    section = ""
    for key, value in _values(inspection, data, task, name).items():
        parent, _, field = key.rpartition(".")
        if parent != section:
            lines += ["", *_comment(explained[parent], ""), f"{parent}:"]
            section = parent
        elif not parent:
            lines.append("")
        indent = "  " if parent else ""
        lines += _comment(explained[key], indent)
        if key == "task.labels":
            lines += _labels(inspection)
        elif isinstance(value, _Optional):
            lines.append(f"{indent}# {field}: {_scalar(value.value)}")
        else:
            lines.append(f"{indent}{field}: {_scalar(value)}")
    return "\n".join(lines) + "\n"


def draft_task(inspection: Inspection, *, name: str | None = None, question: str | None = None) -> TaskConfig:
    """Return a task named after the label column ("Intent Name" -> Intent) where no name is given."""
    words = re.sub(r"[\W_]+", " ", inspection.label_column).split()
    while len(words) > 1 and words[-1].casefold() in ("name", "text", "id", "label"):
        words.pop()
    name = name or (words[-1].capitalize() if words else TaskConfig().name)
    fits = "fit" if inspection.task.type == "multi_label" else "fits"
    question = question or f"Which {name.lower()} {fits} the text?"
    return inspection.task.model_copy(update={"name": name, "question": question})


def run_name(source: str) -> str:
    """Return a run name for a data source: its file name or last part, in safe characters."""
    last = source.partition(":")[2].split(":")[0] if source.startswith(("hub:", "builtin:")) else source
    stem = Path(last).stem if Path(last).suffix else Path(last).name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or Recipe().name


def _values(inspection: Inspection, data: DataConfig, task: TaskConfig, name: str) -> Mapping[str, object]:
    recipe = Recipe()
    many_train = inspection.rows.get("train", 0) > TRAIN_ROWS
    many_test = inspection.rows.get("test", 0) > TEST_ROWS
    long = (
        inspection.lengths.get("words", {}).get("max", 0) > _LONG_WORDS
        or inspection.lengths.get("tokens", {}).get("max", 0) > _MAX_TEXT_TOKENS
    )
    several = task.type == "multi_label"
    values: dict[str, object] = {
        "name": name,
        "seed": recipe.seed,
        "base_model": recipe.base_model,
        **_kind_of_task(task),
        "task.question": task.question,
        "task.name": task.name,
        "task.labels": None,
        "data.source": data.source,
        "data.text_column": inspection.text_column,
        "data.label_column": inspection.label_column,
    }
    identifier = data.id_column or inspection.inferred.get("id_column")
    if identifier is not None:
        values["data.id_column"] = identifier
    own = any(finding.kind == "own_reasonings" and finding.count for finding in inspection.findings)
    if own:
        values["data.reasoning_column"] = inspection.reasoning_column
    for split in ("test", "validation"):
        if split in inspection.inferred:
            values[f"data.{split}_fraction"] = getattr(data, f"{split}_fraction")
    values |= {
        "data.train_rows": TRAIN_ROWS if many_train else _Optional(TRAIN_ROWS),
        "data.test_rows": TEST_ROWS if many_test else _Optional(TEST_ROWS),
        "data.bad_rows": data.bad_rows,
        "data.max_text_tokens": _MAX_TEXT_TOKENS if long else _Optional(_MAX_TEXT_TOKENS),
        "reasoner.data": [*recipe.reasoner.sources, OWN_ROWS] if own else recipe.reasoner.data,
        "reasoner.model": _Optional("runs/another/reasoner/model"),
        # Reasonings that people can check: they quote the text, and lead to their label.
        "augment.filters": {
            "names": [*recipe.augment.filters.names, *(["ungrounded"] if several else _GROUNDED)],
            "quotation_required": True,
        },
        "training.num_train_epochs": recipe.training.num_train_epochs,
        "training.min_steps": MIN_STEPS,
        "training.learning_rate": recipe.training.learning_rate,
        "training.per_device_train_batch_size": recipe.training.per_device_train_batch_size,
        "training.max_length": recipe.training.max_length,
    }
    values["classifier.target"] = "label" if several else recipe.classifier.target
    if not several:
        values["classifier.filters"] = {
            "quotation_required": True,
            "min_probability": _SURE,
            "min_effect": _EFFECT,
        }
        values["classifier.reasoning_attempts"] = _ATTEMPTS
    values["baseline.budget"] = "same" if several else "matched_flops"
    return values


def _kind_of_task(task: TaskConfig) -> dict[str, object]:
    if task.type == "single_label":
        return {}
    return {"task.type": task.type, "task.label_separator": task.label_separator}


def _labels(inspection: Inspection) -> list[str]:
    counts = inspection.label_counts()
    labels = sorted(counts)
    lines = []
    if all(label.isdecimal() for label in labels):
        labels.sort(key=int)
        lines.append("  # Integers: put their names here instead, in the order 0, 1, 2, ...")
    lines.append("  labels:")
    lines += [
        f"    - {_scalar(label)}  # {counts[label]} row{'s' if counts[label] > 1 else ''}" for label in labels
    ]
    return lines


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_on_hyphens=False,
    )


def _scalar(value: object) -> str:
    if isinstance(value, str):
        # Always quoted: `no`, `1` and `~` are strings here.
        return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**9).strip()
    return (
        yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9)
        .removesuffix("\n...\n")
        .strip()
    )


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
