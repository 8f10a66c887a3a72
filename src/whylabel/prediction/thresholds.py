"""From which probability on a label applies: chosen on validation rows, for each label by itself.

Everything here is about arrays of shape (rows, labels): probabilities, and which labels the rows have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whylabel.prediction.multi_label import DEFAULT_THRESHOLD

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST_POSITIVES = 10
"""A label that fewer rows have gets the threshold that serves all labels together best."""


def fit_thresholds(probabilities: Floats, gold: Bools) -> tuple[float, ...]:
    """Return for each label the threshold with the best F1 on the rows.

    For labels that fewer than `LEAST_POSITIVES` rows have, it is the one with the best micro-F1 over all labels.
    """
    common, _ = best_threshold(probabilities.ravel(), gold.ravel())
    return tuple(
        best_threshold(probabilities[:, label], gold[:, label])[0]
        if gold[:, label].sum() >= LEAST_POSITIVES
        else common
        for label in range(gold.shape[1])
    )


def best_threshold(probabilities: Floats, gold: Bools) -> tuple[float, float]:
    """Return the threshold with the best F1 of decisions, and that F1; of equals the highest.

    It lies half-way between two probabilities. Without any positive it is `DEFAULT_THRESHOLD`, with F1 0.
    """
    if not gold.any():
        return DEFAULT_THRESHOLD, 0.0
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    said = np.arange(1, len(ordered) + 1)
    f1 = 2 * np.cumsum(gold[order]) / (said + gold.sum())
    # Decisions with the same probability go together.
    ends = np.flatnonzero(np.append(ordered[1:] < ordered[:-1], True))
    best = int(ends[f1[ends].argmax()])
    above, below = ordered[best], ordered[best + 1] if best + 1 < len(ordered) else 0.0
    middle = (above + below) / 2
    return float(middle if middle > below else above), float(f1[best])
