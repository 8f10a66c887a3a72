"""`evaluation/evidence.json`: the stretches that labels rest on, of those predictions that the report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whylabel.evaluation.predictions import PredictionRow
from whylabel.host.atomic import as_written, read_json, write_json
from whylabel.text.hashes import fingerprint
from whylabel.types import Evidence

Found = Mapping[str, tuple[Evidence, ...]]
"""The evidence of each prediction, by its key."""

_FIX = "remove the file, then: whylabel evaluate RECIPE"


def evidence_key(row: PredictionRow) -> str:
    """Return what identifies a prediction for its evidence: model, mode, text, label and reasoning."""
    prediction = row.prediction
    return fingerprint(row.model, prediction.mode, row.text, prediction.label, prediction.reasoning)[:16]


def write_evidence(path: Path, content: str, found: Found) -> None:
    """Write the evidence for labels of the model with this content."""
    rows = {key: [asdict(one) for one in evidence] for key, evidence in found.items()}
    write_json(path, {"model": content, "rows": rows})


def read_evidence(path: Path, content: str | None = None) -> Found:
    """Read it back; nothing if there is no file, or if it is of another model than that with this content.

    Raises `RunFolderError` if the file is not what `write_evidence` writes.
    """
    if not path.exists():
        return {}
    values: dict[str, Any] = read_json(path, dict, fix=_FIX)
    with as_written(path, fix=_FIX):
        rows = {key: tuple(map(_parsed, found)) for key, found in values["rows"].items()}
        return rows if content in (None, values["model"]) else {}


def _parsed(values: Mapping[str, Any]) -> Evidence:
    one = Evidence(int(values["start"]), int(values["end"]), str(values["text"]), float(values["effect"]))
    if not 0 <= one.start <= one.end:
        raise ValueError(f"a stretch from {one.start} to {one.end} is in no text")
    return one
