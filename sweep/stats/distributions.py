"""Quantiles and probabilities that tests and intervals need.

`scipy.stats`, which asks `scipy.special` for the common ones, takes longer to import than anything else of a report.

Letters: k means with equal expectation and independent normal errors; w a gap in units of the standard error of one
mean, estimated with df degrees of freedom, from the largest of all k down to the smallest of t of them (`tied`). With
t = k it is Tukey's studentised range; with t = 1, over sqrt 2, Dunnett's one-sided statistic with correlation 1/2.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

Floats = NDArray[np.float64]
_REACH = 9.0


def t_quantile(share: float, df: float) -> float:
    """The value that Student's t stays below with probability `share`, as `scipy.stats.t.ppf`."""
    return float(special.stdtrit(df, share))


def chi2_between(tail: float, df: float) -> tuple[float, float]:
    """What chi-squared stays below, and exceeds, with probability `tail`, as `scipy.stats.chi2.ppf` and `isf`."""
    return float(2 * special.gammaincinv(df / 2, tail)), float(special.chdtri(df, tail))


def spread_probability(gap: float, *, tied: int, count: int, df: float) -> float:
    """Probability that the largest of `count` means is at most `gap` above the smallest of `tied` of them.

    Quantiles are those of `scipy.stats.studentized_range` to 1e-6, a hundred means from df = 2, a thousand from 10.

    Source: t * integral of phi(y) [Phi(y + sw) - Phi(y)]^(t-1) Phi(y + sw)^(k-t) dy, averaged over s =
    sqrt(chi2(df) / df); Gauss-Legendre in both variables.
    """
    y, y_weights = _nodes(160, -_REACH, _REACH)
    s, s_weights = scale_nodes(df)
    reach = special.ndtr(y + gap * s[:, None])
    density = tied * np.exp(-(y**2) / 2) / math.sqrt(2 * math.pi) * y_weights
    inside = np.power(reach, count - tied)
    if tied > 1:
        inside *= np.power(np.maximum(reach - special.ndtr(y), 0), tied - 1)
    return min(float(s_weights @ (inside @ density)), 1.0)


@functools.lru_cache(maxsize=256)
def spread_quantile(level: float, *, tied: int, count: int, df: float) -> float:
    """The gap that is exceeded with probability 1 - `level`, in standard errors of one mean."""
    return root(lambda gap: spread_probability(gap, tied=tied, count=count, df=df) - level, xtol=1e-9)


def root(rising: Callable[[float], float], xtol: float) -> float:
    """Where a function that is negative at 0 and rises becomes positive."""
    high = 4.0
    while rising(high) < 0:
        high *= 2
    return float(brentq(rising, 0.0, high, xtol=xtol))


@functools.lru_cache(maxsize=64)
def scale_nodes(df: float) -> tuple[Floats, Floats]:
    """Values of s = sqrt(chi2(df) / df) and their probability weights, for averages over it."""
    if math.isinf(df):
        return np.ones(1), np.ones(1)
    # In the root of s the nodes crowd near zero, where one or two degrees of freedom put the large gaps.
    low, high = ((q / df) ** 0.25 for q in chi2_between(1e-14, df))
    roots, weights = _nodes(96 if df < 20 else 48, low if df > 10 else 0.0, high)
    chi = roots**2 * math.sqrt(df)
    log_scale = math.log(2) - df / 2 * math.log(2) - special.gammaln(df / 2)
    density = np.exp(log_scale + special.xlogy(df - 1, chi) - chi**2 / 2)
    return roots**2, weights * 2 * roots * density * math.sqrt(df)


_unit_nodes = functools.cache(np.polynomial.legendre.leggauss)


def _nodes(count: int, low: float, high: float) -> tuple[Floats, Floats]:
    x, weights = _unit_nodes(count)
    return (high - low) / 2 * x + (high + low) / 2, (high - low) / 2 * weights
