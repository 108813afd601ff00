"""How many seeds a paired comparison needs, and what it can see with those there are.

Letters: n seeds, d the true mean difference, s the standard deviation of one paired difference. All of it
treats s as known; estimated from few seeds it may be far off (from five by a factor of two or more), so `seeds_range`
gives a range. It is of the error common to all configurations, sqrt(2 x error variance) of `compare`.
"""

import math
from collections.abc import Callable

from scipy import special
from scipy.optimize import brentq

from sweep.stats.distributions import chi2_between, t_quantile
from sweep.stats.intervals import check_level
from sweep.stats.spread import scale_nodes

_FEWEST_DF = 10


def seeds_to_resolve(
    difference: float,
    sd_of_paired_difference: float,
    n_now: int,
    level: float = 0.95,
    power: float = 0.8,
    most: int = 10_000,
) -> int | None:
    """Total number of seeds with which a two-sided paired t test finds `difference` with probability `power`.

    At least `n_now` and 2. None when more than `most` are needed, when the difference is 0, or when either
    number is missing. One comparison: a family of them needs more.

    Raises:
        ValueError: if `level` or `power` is not in (0, 1) or the standard deviation is negative.

    Source: noncentral t, n - 1 degrees of freedom, noncentrality d sqrt(n) / s; Cohen (1988), chapter 2.
    """
    check_level(level)
    check_level(power)
    if sd_of_paired_difference < 0:
        raise ValueError(f"standard deviation {sd_of_paired_difference} is negative")
    if not (math.isfinite(difference) and math.isfinite(sd_of_paired_difference)) or difference == 0:
        return None
    low = max(n_now, 2)
    if sd_of_paired_difference == 0:
        return low
    effect = abs(difference) / sd_of_paired_difference

    def enough(n: int) -> bool:
        return _power(effect * math.sqrt(n), n, level) >= power

    if enough(low):
        return low
    if low >= most or not enough(most):
        return None
    high = most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def seeds_range(
    difference: float, error_variance: float, df: int, n_now: int, level: float = 0.95, power: float = 0.8
) -> tuple[int, int] | None:
    """Total numbers of seeds, from and to, with which a paired t test finds `difference` with probability `power`.

    From the two ends of a 90 % interval of the error variance, rounded outwards to two significant digits, because more
    would claim to know it; never less than `n_now`. None below ten degrees of freedom, where they are too far apart to
    tell anybody anything, or when more than 10,000 are needed.

    Raises:
        ValueError: as `seeds_to_resolve`.

    Source: as `seeds_to_resolve`; chi-squared interval of a variance.
    """
    if df < _FEWEST_DF or not math.isfinite(error_variance):
        return None
    bounds = [df * error_variance / bound for bound in reversed(chi2_between(0.05, df))]
    ends = [seeds_to_resolve(difference, math.sqrt(2 * bound), n_now, level, power) for bound in bounds]
    if ends[0] is None or ends[1] is None:
        return None
    low = max(_two_digits(ends[0], math.floor), n_now)
    return low, _two_digits(ends[1], math.ceil) if ends[1] > n_now else n_now


def detectable(sd_of_paired_difference: float, n: int, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest difference that a paired t test of `n` seeds finds with probability `power`.

    In the unit of the standard deviation; NaN for fewer than two seeds or a missing standard deviation.

    Raises:
        ValueError: if `level` or `power` is not in (0, 1) or the standard deviation is negative.

    Source: as `seeds_to_resolve`, solved for d.
    """
    check_level(level)
    check_level(power)
    if sd_of_paired_difference < 0:
        raise ValueError(f"standard deviation {sd_of_paired_difference} is negative")
    if n < 2:
        return math.nan
    return _noncentrality(n, level, power) * sd_of_paired_difference / math.sqrt(n)


def _two_digits(count: int, rounded: Callable[[float], int]) -> int:
    unit: int = 10 ** max(len(str(count)) - 2, 0)
    return rounded(count / unit) * unit


def _power(noncentrality: float, n: int, level: float) -> float:
    # scipy's noncentral t gives NaN far out, so the normal is averaged over the estimated standard deviation.
    critical = -t_quantile((1 - level) / 2, n - 1)
    scale, weights = scale_nodes(n - 1)
    right = special.ndtr(noncentrality - critical * scale)
    wrong = special.ndtr(-noncentrality - critical * scale)
    return float(weights @ (right + wrong))


def _noncentrality(n: int, level: float, power: float) -> float:
    if power <= 1 - level:
        return 0.0
    high = 4.0
    while _power(high, n, level) < power:
        high *= 2
    return float(brentq(lambda nc: _power(nc, n, level) - power, 0.0, high, xtol=1e-8))
