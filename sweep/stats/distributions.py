"""Tails and quantiles of the distributions that tests and intervals need.

`scipy.special` has them all; `scipy.stats`, which asks it for them, takes longer to import than anything else that
a report needs.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special


def t_quantile(share: float, df: float) -> float:
    """The value that Student's t with `df` degrees of freedom stays below with probability `share`.

    Source: `scipy.special.stdtrit`, as `scipy.stats.t.ppf`.
    """
    return float(special.stdtrit(df, share))


def f_tail(value: float, df_above: float, df_below: float) -> float:
    """Probability that F, with degrees of freedom above and below the fraction line, exceeds `value`.

    Source: `scipy.special.fdtrc`, as `scipy.stats.f.sf`.
    """
    return float(special.fdtrc(df_above, df_below, value))


def chi2_tail(value: float, df: float) -> float:
    """Probability that chi-squared exceeds `value`.

    Source: `scipy.special.chdtrc`, as `scipy.stats.chi2.sf`.
    """
    return float(special.chdtrc(df, value))


def chi2_between(tail: float, df: float) -> tuple[float, float]:
    """The two values that chi-squared stays below, and exceeds, with probability `tail`.

    Source: `scipy.special.gammaincinv` and `chdtri`, as `scipy.stats.chi2.ppf` and `isf`.
    """
    return float(2 * special.gammaincinv(df / 2, tail)), float(special.chdtri(df, tail))


def chi_density(values: NDArray[np.float64], df: float) -> NDArray[np.float64]:
    """Density of the root of chi-squared, at each of `values`.

    Source: as `scipy.stats.chi.pdf`.
    """
    log_scale = math.log(2) - df / 2 * math.log(2) - special.gammaln(df / 2)
    density: NDArray[np.float64] = np.exp(log_scale + special.xlogy(df - 1, values) - values**2 / 2)
    return density
