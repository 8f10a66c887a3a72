"""Measures of calibration: how well probabilities match accuracy."""

from __future__ import annotations

import numpy as np

from whylabel.evaluation.bootstrap import Floats, Ints

_BINS = 15


def negative_log_likelihood(probabilities: Floats, gold: Ints) -> float:
    """Return the mean of -ln p(gold label) in nats; `probabilities` has shape (n, labels).

    A probability of 0 is replaced by the float64 machine epsilon (2.2e-16), as in scikit-learn.
    """
    given = probabilities[np.arange(len(gold)), gold]
    return float(-np.log(np.clip(given, np.finfo(np.float64).eps, 1.0)).mean() + 0.0)


def expected_calibration_error(probabilities: Floats, predicted: Ints, gold: Ints) -> float:
    """Return the mean gap between confidence and accuracy over 15 equally wide bins, weighted by rows.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599, equation 3.
    Confidence is the probability of the predicted label; a bin includes its upper edge.
    """
    confidence = probabilities[np.arange(len(predicted)), predicted]
    right = (predicted == gold).astype(float)
    bins = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(gold))
