"""The probability threshold from which a label applies, fitted on validation rows for each label separately.

All functions take arrays of shape (rows, labels): the probabilities, and which labels the rows have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whylabel.prediction.multi_label import DEFAULT_THRESHOLD

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST_POSITIVES = 10
"""A label with fewer rows gets the threshold that is best for all labels together."""


def fit_thresholds(probabilities: Floats, gold: Bools) -> tuple[float, ...]:
    """Return the threshold with the best F1 for each label.

    A label with fewer than `LEAST_POSITIVES` rows gets the threshold with the best micro-F1 over all labels.
    """
    common, _ = best_threshold(probabilities.ravel(), gold.ravel())
    return tuple(
        best_threshold(probabilities[:, label], gold[:, label])[0]
        if gold[:, label].sum() >= LEAST_POSITIVES
        else common
        for label in range(gold.shape[1])
    )


def best_threshold(probabilities: Floats, gold: Bools) -> tuple[float, float]:
    """Return the threshold with the best F1 of decisions, and that F1; of equally good ones, the highest threshold.

    It lies midway between two probabilities. Without positive rows it is `DEFAULT_THRESHOLD`, with F1 0.
    """
    if not gold.any():
        return DEFAULT_THRESHOLD, 0.0
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    predicted = np.arange(1, len(ordered) + 1)
    f1 = 2 * np.cumsum(gold[order]) / (predicted + gold.sum())
    # Rows with the same probability get the same decision.
    ends = np.flatnonzero(np.append(ordered[1:] < ordered[:-1], True))
    best = int(ends[f1[ends].argmax()])
    above, below = ordered[best], ordered[best + 1] if best + 1 < len(ordered) else 0.0
    middle = (above + below) / 2
    return float(middle if middle > below else above), float(f1[best])
