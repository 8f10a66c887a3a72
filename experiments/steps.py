"""How right the written steps are, sentence by sentence beside those that a program wrote (data of `steps/`)."""

from __future__ import annotations

import re
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


def by_program(file: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a Parquet file by their text; none if it does not say the steps and their number."""
    columns = ["text", "reasoning", "steps"]
    if not set(columns) <= set(pyarrow.parquet.read_schema(file).names):
        return {}
    return {row["text"]: row for row in pyarrow.parquet.read_table(file, columns=columns).to_pylist()}


def reasoner_steps(run_folder: RunFolder, train: Path) -> dict[str, Any]:
    """Return, for each condition under which the kept reasonings were written, how right they are.

    `rows`, the mean share of `right_sentences`, and the share `all_right`, in which no sentence is wrong.
    """
    known = by_program(train)
    shares: dict[str, list[float]] = {}
    for row in pyarrow.parquet.read_table(run_folder.kept).to_pylist():
        share = right_sentences(row["reasoning"], known[row["text"]]["reasoning"])
        shares.setdefault(row["condition"], []).append(share)
    return {
        "reasoner": {
            condition: {
                "rows": len(found),
                "right_sentences": round(sum(found) / len(found), 4),
                "all_right": round(found.count(1.0) / len(found), 4),
            }
            for condition, found in shares.items()
        }
    }


def written_steps(run_folder: RunFolder, test: Path) -> dict[str, Any]:
    """Return the number of steps of each test row, and for each mode that reasons how right its sentences are.

    Both in the order of the row ids, as what `run.py` keeps of the labels; None: a reasoning that is withheld.
    Nothing where the data does not say.
    """
    known = by_program(test)
    if not known:
        return {}
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
