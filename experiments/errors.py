"""Do two answers that differ point at errors? What is caught when the most doubtful rows are sent to a person. (E11)

    python experiments/errors.py RUN RUN_OF_ANOTHER_SEED

Both runs are of one setting of a trial with `dual`, with the same test rows. Adds a line to
`e11-errors/reviewed.jsonl`, in which two models are reviewed, each by two signals: the classifier at once, by its
calibrated probability alone and first where it says something else after a reasoning; the label alone, by its
calibrated probability alone and first where another seed of it says something else. Rows on which the answers agree,
or differ, are ordered by the probability.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from run import HERE

from whylabel.evaluation.predictions import PredictionRow, by_model_and_mode, iterate_predictions
from whylabel.evaluation.review import aurc
from whylabel.run_folder import RunFolder
from whylabel.types import Mode

REVIEWED = (0.05, 0.1, 0.2)
RESAMPLES = 2_000
REVIEWS = HERE / "e11-errors" / "reviewed.jsonl"

Answers = Sequence[PredictionRow]


def answers(run: Path, model: str, mode: Mode) -> Answers:
    """Return a model's answers, in the order of their ids."""
    found = by_model_and_mode(iterate_predictions(RunFolder(run).predictions))
    return sorted(found[model, mode], key=lambda row: row.prediction.id)


def reviewed(own: Answers, other: Answers) -> dict[str, Any]:
    """Return how well errors of a model's answers are found by its probability, and first by differing answers."""
    if [row.prediction.id for row in own] != [row.prediction.id for row in other]:
        raise SystemExit("The two runs have other test rows.")
    wrong = np.array([not row.right for row in own])
    unsure = 1 - np.array([max(row.prediction.probabilities) for row in own])
    differ = np.array(
        [mine.prediction.label != its.prediction.label for mine, its in zip(own, other, strict=True)]
    )
    draw = np.random.default_rng(13).integers(len(own), size=(RESAMPLES, len(own)))
    found = {}
    for name, doubt in {"probability": unsure, "differing first": differ + unsure}.items():
        order = np.argsort(doubt, kind="stable")
        drawn = np.sort(np.argsort(order)[draw], axis=1)
        found[name] = {
            "aurc": float(area(wrong[order][None])[0]),
            "resampled": area(wrong[order][drawn]),
            "caught": {str(share): caught(wrong[order], share) for share in REVIEWED},
        }
    resampled = [each.pop("resampled") for each in found.values()]
    return {
        "n": len(own),
        "errors": int(wrong.sum()),
        "differ": int(differ.sum()),
        "wrong_where_they_differ": int((wrong & differ).sum()),
        "by": found,
        "aurc_difference": found["differing first"]["aurc"] - found["probability"]["aurc"],
        "aurc_difference_ci95": np.quantile(resampled[1] - resampled[0], [0.025, 0.975]).tolist(),
    }


def area(wrong: np.ndarray) -> np.ndarray:
    """Return the area under the curve of each row, shape (m,); the least doubtful answer comes first."""
    return aurc(np.ones(wrong.shape), wrong.astype(float))


def caught(wrong: np.ndarray, share: float) -> float:
    """Return the share of the errors among so many of the most doubtful answers, which come last."""
    count = round(share * len(wrong))
    return float(wrong[-count:].sum() / wrong.sum())


def main() -> None:
    """Review the answers of a run and add what was found to the reviews."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("another", type=Path)
    arguments = parser.parse_args()
    run, another = arguments.run, arguments.another
    alone = answers(run, "baseline", "fast")
    result = {
        "runs": [run.name, another.name],
        "date": datetime.now(UTC).date().isoformat(),
        "at once, reasoned": reviewed(
            answers(run, "classifier", "fast"), answers(run, "classifier", "reasoned")
        ),
        "label alone, another seed": reviewed(alone, answers(another, "baseline", "fast")),
    }
    print(json.dumps(result, indent=2))
    REVIEWS.parent.mkdir(exist_ok=True)
    with REVIEWS.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(result, sort_keys=True)}\n")


if __name__ == "__main__":
    main()
