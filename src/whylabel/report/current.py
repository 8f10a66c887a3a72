"""Which stages of a run belong to its recipe, and which of them are outdated: by what `run.json` has recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from whylabel.report.formats import is_number

_BUILT_ON = (
    ("augment", "reasoner", "train-reasoner"),
    ("train-classifier", "reasonings", "augment"),
    ("calibrate-baseline", "model", "train-baseline"),
    ("calibrate-classifier", "model", "train-classifier"),
    ("evaluate", "baseline", "calibrate-baseline"),
    ("evaluate", "classifier", "calibrate-classifier"),
)
"""A stage, the part of its key that stands for an earlier stage, and that stage."""

_SHORT = 16
"""A part that is no longer than this is the beginning of a content hash."""


def setting(recipe: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """Return a setting of a recipe by its dotted key; the default if the recipe does not say it."""
    value: Any = recipe
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return default if value is None else value


def target_of(recipe: Mapping[str, Any]) -> str:
    """Return the classifier's target."""
    return str(setting(recipe, "classifier.target", "dual"))


def is_of_recipe(stage: str, recipe: Mapping[str, Any], augment: Mapping[str, Any]) -> bool:
    """Return whether a recipe has a stage; `augment` are the figures of stage 2a.

    A run folder may hold stages that an earlier recipe had. Stages with other names are not judged.
    """
    reasoned = target_of(recipe) != "label"
    looks = setting(recipe, "augment.suspects.folds") is not None
    judged = setting(recipe, "augment.verification.verifier") == "baseline"
    return {
        "train-reasoner": reasoned and setting(recipe, "reasoner.model") is None and not all_own(augment),
        "train-folds": reasoned and (looks or judged),
        "suspects": reasoned and looks,
        "augment": reasoned,
    }.get(stage, True)


def all_own(augment: Mapping[str, Any]) -> bool:
    """Return whether every training text came with its reasoning."""
    rows = augment.get("rows")
    own = (augment.get("kept_by_condition") or {}).get("own")
    return is_number(rows) and rows > 0 and own == rows


def outdated(stages: Mapping[str, Mapping[str, Any]], recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return why each finished stage is outdated: the settings, or the earlier stage, that have changed since."""
    found: dict[str, str] = {}
    for stage, entry in stages.items():
        if entry.get("status") == "done" and (changed := [*_changes(stage, entry, stages, recipe)]):
            found[stage] = ", ".join(changed)
    return found


def _changes(
    stage: str, entry: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]], recipe: Mapping[str, Any]
) -> Iterator[str]:
    parts = entry.get("decided_by") or {}
    for key, value in parts.items():
        now = setting(recipe, key) if "." in key or key == "seed" else None
        if _is_plain(value) and _is_plain(now) and not _is_hash(value) and not _alike(value, now):
            yield f"{key} was {value}, and the recipe says {now}"
    for later, part, earlier in _BUILT_ON:
        content, used = (stages.get(earlier) or {}).get("content"), parts.get(part)
        if later == stage and isinstance(content, str) and isinstance(used, str):
            known = content[:_SHORT] if len(used) == _SHORT else content
            if used != known:
                yield f"{earlier} has been run again since"


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _alike(one: Any, other: Any) -> bool:
    """Return whether two values are the same; people write numbers that YAML reads as text, such as 1e-5."""
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False


def _is_hash(value: Any) -> bool:
    """Return whether a part of a key stands for a content: that of a model, not its name in the recipe."""
    return (
        isinstance(value, str)
        and len(value) >= _SHORT
        and all(letter in "0123456789abcdef" for letter in value)
    )
