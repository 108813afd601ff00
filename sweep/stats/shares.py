"""How often something happens: a share of independent trials and its interval."""

import math

from scipy import special

from sweep.stats.intervals import Interval, check_level


def share_interval(count: int, n: int, level: float = 0.95) -> Interval:
    """The share `count` of `n`, with an interval that covers at least `level` however rare it is.

    Raises:
        ValueError: if `count` is not in [0, n] or `level` not in (0, 1).

    Source: Clopper and Pearson (1934), as in `scipy.stats.binomtest(...).proportion_ci()`.
    """
    check_level(level)
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is no share")
    if not n:
        return Interval(estimate=math.nan, low=math.nan, high=math.nan, level=level, n=0, cannot="nothing was tried")
    tail = (1 - level) / 2
    low = float(special.betaincinv(count, n - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return Interval(estimate=count / n, low=low, high=high, level=level, n=n)


def chance_of_at_least(count: int, n: int, probability: float) -> float:
    """Probability of `count` or more of `n` independent trials that each happen with `probability`.

    Source: binomial distribution, as `scipy.stats.binom.sf(count - 1, n, probability)`.
    """
    return float(special.bdtrc(count - 1, n, probability)) if count > 0 else 1.0
