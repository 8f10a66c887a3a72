"""The data as they were read: columns, splits, rows, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from whylabel.data.leakage import Leakage
from whylabel.evaluation.grouping import column_of
from whylabel.report.current import setting

_SPLITS = ("train", "validation", "test")
_SEVERITIES = {"error": "Error", "warning": "Warning", "info": "Note"}
_COLUMNS = (
    ("Text", "text_column"),
    ("Label", "label_column"),
    ("Id", "id_column"),
    ("Reasoning", "reasoning_column"),
)
_OTHERWISE = {"id_column": "none: a hash of the text"}
_QUANTILES = ("min", "median", "p90", "p95", "p99", "max")
_MOST_COLUMNS = 20


@dataclass(frozen=True, slots=True)
class Column:
    """Which column was read as what, and who chose it."""

    what: str
    name: str
    how: str


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of a split: read, and used by this run; None where it is not known."""

    name: str
    read: Any
    used: Any


@dataclass(frozen=True, slots=True)
class Found:
    """One finding of `inspect`."""

    severity: str
    message: str
    fix: str
    rows: str


@dataclass(frozen=True, slots=True)
class DataRead:
    """What the report says of the data. `leaks` are sentences about texts that also occur in train.

    `inspected` is False in runs of a version that did not keep what `inspect` finds.
    """

    source: str
    columns: tuple[Column, ...]
    others: str
    """The columns that were not read."""
    splits: tuple[Split, ...]
    unusable: int
    labels: int
    lengths: tuple[tuple[str, Mapping[str, Any]], ...]
    recognised: tuple[tuple[str, str], ...]
    leaks: tuple[str, ...]
    findings: tuple[Found, ...]
    inspected: bool


def data_of(
    manifest: Mapping[str, Any],
    recipe: Mapping[str, Any],
    inspection: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None = None,
) -> DataRead | None:
    """Return what is said of the data; None if the run has not recorded any.

    `inspection` is the content of `inspection.json`, empty if there is none; `evaluation` that of
    `evaluation/metrics.json`.
    """
    described = manifest.get("data") or {}
    if "model" in manifest:
        recipe = {}  # trained models on other labelled texts: the recipe is that of their training
    used = described.get("rows") or {}
    if not (used or inspection):
        return None
    read = inspection.get("rows") or {}
    columns = (*_columns(recipe, inspection, described.get("inferred") or {}), *_sliced(evaluation or {}))
    named = {column.name for column in columns}
    others = [str(name) for name in inspection.get("columns") or () if name not in named]
    labels = described.get("labels") or {
        name for counts in (inspection.get("labels") or {}).values() for name in counts
    }
    return DataRead(
        source=str(described.get("source") or inspection.get("source") or ""),
        columns=columns,
        others=", ".join(others[:_MOST_COLUMNS])
        + (f" and {len(others) - _MOST_COLUMNS} more" if len(others) > _MOST_COLUMNS else ""),
        splits=tuple(
            Split(name, read.get(name), used.get(name)) for name in _SPLITS if name in used or name in read
        ),
        unusable=inspection.get("rows_unusable") or 0,
        labels=len(labels),
        lengths=tuple(
            (unit, {name: values[name] for name in _QUANTILES if name in values})
            for unit, values in (inspection.get("lengths") or {}).items()
        ),
        recognised=tuple(_recognised(inspection, described)),
        leaks=leaks_of(inspection),
        findings=tuple(_findings(inspection)),
        inspected=bool(inspection),
    )


def leaks_of(inspection: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each split with texts that also occur in train, among the rows that the run uses."""
    found = sorted(inspection.get("leakage") or (), key=lambda one: one.get("split") != "test")
    return tuple(f"{Leakage(**one)}: scores on texts seen in training are too good." for one in found)


def _columns(
    recipe: Mapping[str, Any], inspection: Mapping[str, Any], inferred: Mapping[str, Any]
) -> Iterator[Column]:
    for what, key in _COLUMNS:
        named = setting(recipe, f"data.{key}")
        name = inspection.get(key) or inferred.get(key) or named
        if key == "reasoning_column":
            name = named  # one that only looks like reasonings is a finding
        if name:
            yield Column(what, str(name), "named in the recipe" if named else "recognised")
        elif key in _OTHERWISE and inspection.get("columns"):
            yield Column(what, _OTHERWISE[key], "")


def _sliced(evaluation: Mapping[str, Any]) -> Iterator[Column]:
    """Yield the columns by whose values the test texts were grouped."""
    for by in dict.fromkeys(str(each.get("by")) for each in evaluation.get("slices") or ()):
        name = column_of(by)
        if name is not None:
            yield Column("Slices", name, "named in the recipe")


def _recognised(inspection: Mapping[str, Any], described: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = {**(inspection.get("inferred") or {}), **(described.get("inferred") or {})}
    for key, value in found.items():
        if key not in {name for _, name in _COLUMNS}:
            yield str(key).replace("_", " "), str(value)


def _findings(inspection: Mapping[str, Any]) -> Iterator[Found]:
    order = list(_SEVERITIES)
    for one in sorted(
        inspection.get("findings") or (), key=lambda one: order.index(one.get("severity", "info"))
    ):
        ids = [str(name) for name in one.get("ids") or ()]
        number = one.get("count")
        more = ", ..." if isinstance(number, int) and number > len(ids) else ""
        yield Found(
            _SEVERITIES[one.get("severity", "info")],
            str(one.get("message")),
            str(one.get("fix") or ""),
            f"{', '.join(ids)}{more}" if ids else "",
        )
