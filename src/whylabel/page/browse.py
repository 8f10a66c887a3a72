"""A run's test predictions, filtered and in parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from whylabel.evaluation.browsing import Wanted
from whylabel.evaluation.evidence import Found, evidence_key, read_evidence
from whylabel.evaluation.predictions import PredictionRow
from whylabel.page import runs
from whylabel.page.runs import ServedRun
from whylabel.page.schemas import FoundPrediction, FoundPredictions, PredictionQuery

_TOP_LABELS = 6
_YES = {"yes": True, "no": False, None: None}


def browse(run: ServedRun, query: PredictionQuery) -> FoundPredictions:
    """Return the part of the predictions that is asked for.

    Raises `RunFolderError` if the file is damaged, or of another evaluation than the labels, and `RunInUseError` if
    it is being written.
    """
    with runs.unchanged(run.folder.predictions, run.folder.evaluation_metrics):
        labels = runs.labels_of(run)
        found = runs.found_predictions(run, _wanted(query))
        rows = runs.predictions(run, runs.page(found, query.offset, query.limit))
        models = runs.modes_of(run)
    evidence = read_evidence(run.folder.evidence)
    return FoundPredictions(
        found=len(found),
        offset=query.offset,
        models=models,
        # Where a text may have several labels, it may have none.
        labels=[*labels, *([""] if run.separator else [])],
        data=[_shown(row, _chances(run, labels, row), evidence) for row in rows],
    )


def _wanted(query: PredictionQuery) -> Wanted:
    right, failed = {"right": (True, None), "wrong": (False, False), "failed": (None, True)}.get(
        query.answer or "", (None, None)
    )
    return Wanted(
        model=query.model,
        mode=query.mode,
        gold=query.gold,
        label=query.label,
        right=right,
        failed=failed,
        disagrees=_YES[query.disagrees],
        withheld=None if query.reasoning is None else query.reasoning == "withheld",
        search=query.search,
    )


def _chances(run: ServedRun, labels: Sequence[str], row: PredictionRow) -> dict[str, float]:
    """Return the probabilities by label; none where there are none, as of a row that failed."""
    found = row.prediction.probabilities
    if found and len(found) != len(labels):
        raise runs.other_evaluation(run)
    return dict(zip(labels, found, strict=True)) if found else {}


def _shown(row: PredictionRow, chances: Mapping[str, float], evidence: Found) -> FoundPrediction:
    prediction = row.prediction
    best = sorted(chances.items(), key=lambda pair: -pair[1])[:_TOP_LABELS]
    stretches = evidence.get(evidence_key(row))
    return FoundPrediction(
        id=prediction.id,
        model=row.model,
        mode=prediction.mode,
        text=row.text,
        gold=row.gold,
        label=prediction.label,
        right=row.right,
        probability=chances.get(prediction.label),
        probabilities={label: p for label, p in best if math.isfinite(p)},
        reasoning=prediction.reasoning,
        reasoning_status=prediction.reasoning_status,
        disagrees=prediction.disagrees,
        status=prediction.status,
        error=prediction.error,
        evidence=None
        if stretches is None
        else [{"start": one.start, "end": one.end, "effect": one.effect} for one in stretches],
    )
