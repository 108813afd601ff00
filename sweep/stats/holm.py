"""Several p-values judged together."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values, in the order given: those below 0.05 hold with a family-wise error of 5 %.

    A missing p-value (NaN) stays missing and does not count towards the family.

    Raises:
        ValueError: if a value lies outside [0, 1].

    Source: Holm (1979), as in `statsmodels.stats.multitest.multipletests`.
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = ~np.isnan(p)
    if ((p[known] < 0) | (p[known] > 1)).any():
        raise ValueError("a p-value lies outside [0, 1]")
    adjusted = np.full(p.shape, math.nan)
    order = np.argsort(p[known], kind="stable")
    stepped = np.maximum.accumulate(p[known][order] * np.arange(order.size, 0, -1))
    adjusted[np.flatnonzero(known)[order]] = np.minimum(stepped, 1)
    return adjusted
