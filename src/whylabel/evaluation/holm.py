"""Several tests at once: p-values that stay right however many are made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the adjusted p-values, in the order of the given ones (Holm 1979, Scand. J. Statist. 6:65).

    If all tests whose adjusted p-value is below 0.05 count as shown, the probability that any of them is chance is
    below 0.05, whether or not the tests depend on each other.
    """
    given = np.asarray(p_values, dtype=float)
    order = np.argsort(given, kind="stable")
    factors = np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(given[order] * factors))
    return tuple(map(float, adjusted))
