"""Whether configurations vary alike between seeds, which one common error variance takes for granted.

Axis letters: K configurations, S seeds.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sweep.stats.distributions import chi2_tail


def uneven_p_value(errors: NDArray[np.float64]) -> float:
    """p-value of "all configurations vary alike between seeds", from residuals `[K, S]`, NaN where one is missing.

    NaN below three configurations with two residuals each. With few seeds it sees only coarse differences; scores that
    are not normal lower it too.

    Source: Bartlett (1937), as in `scipy.stats.bartlett`, with one degree of freedom less per configuration than it has
    residuals; that residuals of a block are slightly correlated makes it cautious (simulated size 2 to 5 % at 5 %).
    """
    df = np.isfinite(errors).sum(axis=1) - 1
    enough = df > 0
    k, df = int(enough.sum()), df[enough].astype(np.float64)
    if k < 3:
        return math.nan
    variances = np.nansum(errors[enough] ** 2, axis=1) / df
    if variances.min() <= 1e-20 * variances.max():
        return 0.0
    total = df.sum()
    statistic = total * math.log(float(df @ variances) / total) - float(df @ np.log(variances))
    correction = 1 + (float((1 / df).sum()) - 1 / total) / (3 * (k - 1))
    return chi2_tail(statistic / correction, k - 1)
