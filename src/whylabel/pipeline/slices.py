"""Where the reasoning helps: the figures of `evaluation/slices.py`, by what the recipe names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whylabel.evaluation.grouping import groups_of
from whylabel.evaluation.predictions import PredictionRow
from whylabel.evaluation.slices import Slice, compare_slices
from whylabel.pipeline.inputs import Inputs
from whylabel.types import Mode


def slices(
    inputs: Inputs, predictions: Mapping[tuple[str, Mode], Sequence[PredictionRow]], default: Mode
) -> tuple[Slice, ...]:
    """Return baseline and classifier, in its default mode, within each slice of the test rows.

    A prediction is right if it has exactly the gold labels. Raises `DataError` if a column is not there.
    """
    import numpy as np

    config = inputs.recipe.evaluation
    baseline, classifier = (
        np.array([row.right for row in predictions[key]])
        for key in (("baseline", "fast"), ("classifier", default))
    )
    groups = groups_of(
        config.slices,
        predictions,
        default,
        inputs.labels,
        inputs.multi_label.separator if inputs.multi_label else None,
        inputs.slice_cells,
    )
    return compare_slices(
        baseline, classifier, groups, bootstrap_samples=config.bootstrap_samples, seed=inputs.recipe.seed
    )
