"""How right the written steps are, sentence by sentence beside those that a program wrote (data of `steps/`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet

from whylabel.evaluation.predictions import iterate_predictions
from whylabel.run_folder import RunFolder

BETWEEN = re.compile(r"(?<=[.!?])\s+")


def sentences(reasoning: str) -> list[str]:
    """Return the sentences of a reasoning: its steps, and what follows from them."""
    return [sentence.strip() for sentence in BETWEEN.split(reasoning.strip()) if sentence.strip()]


def right_sentences(written: str, given: str) -> float:
    """Return the share of the given sentences that are written at their place; 1 only if nothing else is written."""
    own, its = sentences(written), sentences(given)
    return sum(one == other for one, other in zip(own, its, strict=False)) / max(len(own), len(its))


def written_steps(run_folder: RunFolder, test: Path) -> dict[str, Any]:
    """Return the number of steps of each test row, and for each mode that reasons how right its sentences are.

    Both in the order of the row ids, as what `run.py` keeps of the labels; None: a reasoning that is withheld.
    Nothing where the data does not say.
    """
    if not {"text", "reasoning", "steps"} <= set(pyarrow.parquet.read_schema(test).names):
        return {}
    rows = pyarrow.parquet.read_table(test, columns=["text", "reasoning", "steps"]).to_pylist()
    known: Mapping[str, Mapping[str, Any]] = {row["text"]: row for row in rows}
    steps: dict[str, int] = {}
    found: dict[str, dict[str, float | None]] = {}
    for row in iterate_predictions(run_folder.predictions):
        if row.model != "classifier":
            continue
        given, written = known[row.text], row.prediction.reasoning
        share = None if written is None else round(right_sentences(written, given["reasoning"]), 3)
        steps[row.prediction.id] = int(given["steps"])
        found.setdefault(f"classifier {row.prediction.mode}", {})[row.prediction.id] = share
    return {
        "steps": [steps[row_id] for row_id in sorted(steps)],
        "right_sentences": {
            mode: [shares[row_id] for row_id in sorted(shares)]
            for mode, shares in found.items()
            if any(share is not None for share in shares.values())
        },
    }
