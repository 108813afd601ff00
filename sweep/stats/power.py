"""How many seeds a paired comparison needs, and what it can see with those there are.

Letters: n seeds, d the true mean difference, s the standard deviation of one paired difference. All of it
treats s as known; estimated from few seeds it may be far off (from five by a factor of two or more), so round
numbers are all it gives. The pooled estimate sqrt(2 x error variance) of `best_set` is steadier than that
of one pair.
"""

import math
from collections.abc import Iterable

from scipy import special
from scipy.optimize import brentq

from sweep.stats.distributions import t_quantile
from sweep.stats.intervals import check_level
from sweep.stats.spread import scale_nodes


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


def power_line(
    sd_of_paired_difference: float, seeds: Iterable[int], level: float = 0.95, power: float = 0.8
) -> tuple[tuple[int, float], ...]:
    """For each number of seeds the smallest difference that a paired t test finds with probability `power`.

    In the unit of the standard deviation; NaN for fewer than two seeds or a missing standard deviation.

    Raises:
        ValueError: if `level` or `power` is not in (0, 1) or the standard deviation is negative.

    Source: as `seeds_to_resolve`, solved for d.
    """
    check_level(level)
    check_level(power)
    if sd_of_paired_difference < 0:
        raise ValueError(f"standard deviation {sd_of_paired_difference} is negative")
    line = []
    for n in seeds:
        detectable = math.nan
        if n >= 2:
            detectable = _noncentrality(n, level, power) * sd_of_paired_difference / math.sqrt(n)
        line.append((n, detectable))
    return tuple(line)


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
