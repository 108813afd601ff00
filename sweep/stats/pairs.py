"""Two configurations alone: a comparison named beforehand, and how many seeds one needs.

Letters: n seeds, d the true mean difference, s the standard deviation of one paired difference, sqrt(2 x error
variance) of `compare`. Estimated from five seeds s may be off by a factor of two, so `seeds_range` gives a range.
"""

import bisect
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from sweep.stats.distributions import chi2_between, root, scale_nodes, t_quantile
from sweep.stats.intervals import ROUNDING, check_level, counted

_PRIOR = 1.0
"""Of the mixture over effect sizes, in seeds: how much evidence an effect of no size counts for."""
_FEWEST_DF = 10
_MOST_SEEDS = 10_000


@dataclass(frozen=True, kw_only=True)
class NamedPair:
    """Two configurations that were to be compared before anything was trained.

    `difference` is the mean of the first minus the second over the `n` seeds that both have; `e_value` the evidence
    against "no difference", NaN when `cannot` says why, of which `needed` makes a claim: 20 at 95 %.
    """

    difference: float
    n: int
    e_value: float
    needed: float
    cannot: str

    @property
    def fewest(self) -> int:
        """The fewest seeds with which a claim can be made, were all differences the same."""
        return next(n for n in itertools.count(2) if ((n + _PRIOR) / _PRIOR) ** ((n - 1) / 2) >= self.needed)

    @property
    def shown(self) -> bool:
        """Whether the two are shown to differ."""
        return self.e_value >= self.needed


def named_pair(one: ArrayLike, other: ArrayLike, level: float = 0.95, *, pairs: int = 1) -> NamedPair:
    """Whether two configurations named beforehand differ, from their scores `[S]`, paired by seed, NaN where missing.

    With probability `level` none of so many named `pairs` without a difference is ever claimed to differ, though they
    be looked at after every further seed. The price is evidence: at an effect of one standard deviation the median
    claim comes after 12 seeds.

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
    n = len(differences)
    size = max(float(np.abs(first[both]).max()), float(np.abs(second[both]).max())) if n else 0.0
    cannot, e_value = "", math.nan
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
    difference = float(differences.mean()) if n else math.nan
    return NamedPair(difference=difference, n=n, e_value=e_value, needed=pairs / (1 - level), cannot=cannot)


def seeds_range(
    difference: float, error_variance: float, df: int, n_now: int, level: float = 0.95
) -> tuple[int, int] | None:
    """Total numbers of seeds, from and to, with which a paired t test finds `difference` with probability 0.8.

    From the two ends of a 90 % interval of the error variance, rounded outwards to two significant digits; never less
    than `n_now`. None below ten degrees of freedom, where they are too far apart to tell anybody anything, or when more
    than 10,000 are needed.
    """
    if df < _FEWEST_DF or not math.isfinite(error_variance) or not difference:
        return None
    deviations = [math.sqrt(2 * (df * error_variance / bound)) for bound in reversed(chi2_between(0.05, df))]
    ends = [seeds_to_resolve(abs(difference) / s if s else math.inf, n_now, level) for s in deviations]
    if ends[0] is None or ends[1] is None:
        return None
    low_unit, high_unit = (10 ** max(len(str(end)) - 2, 0) for end in ends)
    low, high = ends[0] // low_unit * low_unit, math.ceil(ends[1] / high_unit) * high_unit
    return max(low, n_now), high if ends[1] > n_now else n_now


def seeds_to_resolve(effect: float, n_now: int, level: float = 0.95, power: float = 0.8) -> int | None:
    """Total number of seeds, `n_now` or more, with which a paired t test finds the `effect` d / s.

    None when more than 10,000 are needed. One two-sided comparison: a family of them needs more.

    Source: noncentral t, n - 1 degrees of freedom, noncentrality d sqrt(n) / s; Cohen (1988), chapter 2.
    """
    check_level(level)
    check_level(power)
    counts = range(max(n_now, 2), max(n_now, _MOST_SEEDS) + 1)
    place = bisect.bisect_left(counts, True, key=lambda n: _power(effect * math.sqrt(n), n, level) >= power)
    return counts[place] if place < len(counts) else None


def detectable(sd_of_paired_difference: float, n: int, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest difference that a paired t test of `n` seeds finds with probability `power`; NaN if unknown."""
    check_level(level)
    check_level(power)
    if sd_of_paired_difference < 0:
        raise ValueError(f"standard deviation {sd_of_paired_difference} is negative")
    if n < 2:
        return math.nan
    needed = 0.0 if power <= 1 - level else root(lambda d: _power(d, n, level) - power, xtol=1e-8)
    return needed * sd_of_paired_difference / math.sqrt(n)


def _power(noncentrality: float, n: int, level: float) -> float:
    # scipy's noncentral t gives NaN far out, so the normal is averaged over the estimated standard deviation.
    critical = -t_quantile((1 - level) / 2, n - 1)
    scale, weights = scale_nodes(n - 1)
    right = special.ndtr(noncentrality - critical * scale)
    wrong = special.ndtr(-noncentrality - critical * scale)
    return float(weights @ (right + wrong))
