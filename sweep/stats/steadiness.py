"""Whether configurations vary alike between seeds, which one pooled error variance takes for granted.

Axis letters: K configurations, S seeds. A residual table `[K, S]` has rows and columns that sum to zero.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sweep.stats.distributions import chi2_tail, f_tail
from sweep.stats.intervals import ROUNDING

_ODD = 0.01
_SET_ASIDE_OF = 4


def set_aside(table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of the complete table `[K, S]` vary so much more than the others that pooling would mislead.

    One seed of one configuration that collapses would otherwise drown every difference between the others.
    The most variable row goes while its variance exceeds that of the rest at 1 % (adjusted for picking the
    largest). If more than a quarter of the rows (at least one) would have to go, none does: that is no
    exception, and `uneven_p_value` tells. At least three rows stay. Several rows of like, moderate excess
    hide each other and stay.

    Source: exact F test of one row's contrast with the mean of the others against their own error, with
    Bonferroni's factor; for independent rows it is Cochran's (1941) test for an outlying variance.
    """
    k, s = table.shape
    most = max(1, k // _SET_ASIDE_OF)
    aside = np.zeros(k, dtype=np.bool_)
    while k - aside.sum() > 3:
        rows = np.flatnonzero(~aside)
        squares = (residuals(table[rows]) ** 2).sum(axis=1)
        # The contrast's own sum of squares leaves exactly the error of the block without that row.
        own = squares.max() * len(rows) / (len(rows) - 1)
        rest = max(squares.sum() - own, 0.0)
        if rest <= (ROUNDING * np.abs(table).max()) ** 2 * table.size:
            return np.zeros(k, dtype=np.bool_)
        f_value = own / (s - 1) / (rest / ((len(rows) - 2) * (s - 1)))
        if len(rows) * f_tail(f_value, s - 1, (len(rows) - 2) * (s - 1)) >= _ODD:
            return aside
        if aside.sum() == most:
            return np.zeros(k, dtype=np.bool_)
        aside[rows[squares.argmax()]] = True
    return aside


def uneven_p_value(left: NDArray[np.float64]) -> float:
    """p-value of "all configurations vary alike between seeds", from the residuals `[K, S]`; NaN below three.

    With few seeds it sees only coarse differences; scores that are not normal lower it too.

    Source: Bartlett (1937), as in `scipy.stats.bartlett`, with S - 1 degrees of freedom per configuration;
    that residuals of a block are slightly correlated makes it cautious (simulated size 2 to 5 % at 5 %).
    """
    k, df = left.shape[0], left.shape[1] - 1
    if k < 3:
        return math.nan
    variances = (left**2).sum(axis=1) / df
    if variances.min() <= 1e-20 * variances.max():
        return 0.0
    statistic = k * df * math.log(variances.mean()) - df * float(np.log(variances).sum())
    return chi2_tail(statistic / (1 + (k + 1) / (3 * k * df)), k - 1)


def residuals(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """What means of rows and columns leave of a complete table."""
    left: NDArray[np.float64] = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    return left
