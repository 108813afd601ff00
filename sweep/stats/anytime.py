"""One comparison named beforehand, valid however often it is looked at.

Axis letters: S seeds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sweep.stats.intervals import ROUNDING, check_level, counted, mean_interval

_PRIOR = 1.0
"""Of the mixture over effect sizes, in seeds: how much evidence an effect of no size counts for."""


@dataclass(frozen=True, kw_only=True)
class NamedPair:
    """Two configurations that were to be compared before anything was trained.

    Attributes:
        difference: mean of the first minus the second over the seeds that both have.
        n: those seeds.
        e_value: evidence against "no difference"; 20 or more is a claim at 95 %. NaN when `cannot` says why.
        needed: the e-value that makes a claim.
        cannot: why nothing can be said; empty when something can.
    """

    difference: float
    n: int
    e_value: float
    needed: float
    cannot: str

    @property
    def fewest(self) -> int:
        """The fewest seeds with which a claim can be made, were all differences the same."""
        n = 2
        while ((n + _PRIOR) / _PRIOR) ** ((n - 1) / 2) < self.needed:
            n += 1
        return n

    @property
    def shown(self) -> bool:
        """Whether the two are shown to differ."""
        return self.e_value >= self.needed


def named_pair(one: ArrayLike, other: ArrayLike, level: float = 0.95, *, pairs: int = 1) -> NamedPair:
    """Whether two configurations named beforehand differ, from their scores `[S]`, paired by seed, NaN where missing.

    With probability `level` no pair without a difference is ever claimed to differ, though it be looked at after every
    further seed. The price is evidence: at an effect of one standard deviation the median claim comes after 12 seeds.

    Args:
        one: Scores of the first.
        other: Of the second.
        level: Of all claims about named pairs together.
        pairs: How many were named.

    Raises:
        ValueError: if the two differ in length, `level` is not in (0, 1) or `pairs` below 1.

    Source: the t-test e-process with a Gaussian mixture, Wang and Ramdas (2023), "Anytime-valid t-tests and confidence
    sequences for Gaussian means with unknown variance", arXiv 2310.03722.
    """
    check_level(level)
    if pairs < 1:
        raise ValueError(f"pairs is {pairs}; the pair itself is one")
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"shapes {first.shape} and {second.shape}; give two [seeds] of one length")
    both = np.isfinite(first) & np.isfinite(second)
    differences = first[both] - second[both]
    n, needed = len(differences), pairs / (1 - level)
    difference = mean_interval(differences, level).estimate
    cannot, e_value = "", math.nan
    size = max(float(np.abs(first[both]).max()), float(np.abs(second[both]).max())) if n else 0.0
    if n < 2:
        cannot = f"{counted(n, 'common seed')}: the spread between seeds is unknown"
    elif np.ptp(differences) <= ROUNDING * size:
        same = np.abs(differences).max() <= ROUNDING * size
        cannot = "the two are identical" if same else f"all {n} differences are identical: their spread is unknown"
    else:
        squares, total = float((differences**2).sum()), float(differences.sum())
        weight = (n + _PRIOR) * squares
        log_e = 0.5 * math.log(_PRIOR / (n + _PRIOR)) + n / 2 * math.log(weight / (weight - total**2))
        e_value = math.exp(min(log_e, 700.0))
    return NamedPair(difference=difference, n=n, e_value=e_value, needed=needed, cannot=cannot)
