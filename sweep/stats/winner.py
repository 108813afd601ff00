"""What the configuration with the best mean will give with new seeds: the best of many was also the luckiest.

Axis letters: K configurations, S seeds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.stats.blocks import blocked_fit
from sweep.stats.distributions import Floats, t_quantile
from sweep.stats.intervals import Interval, check_level, counted, no_spread

_FEWEST_DF = 10
"""Below so many degrees of freedom a correlation is taken to be 1, the cautious side."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The selected configuration's score, corrected for having been selected; NaN where that is unknown.

    `expected` is its mean over new seeds, shrunken towards the mean of its rivals, `optimism` the plain mean minus
    that, 0 or more, and `test_optimism` what of it the mean test score is expected to share.
    """

    expected: float
    optimism: float
    test_optimism: float


def selected(scores: Floats, test: Floats, best: int, rivals: NDArray[np.bool_] | None = None) -> Winner:
    """Corrects the mean of the configuration `best`, which has the largest mean of the scores `[K, S]`.

    `test` are those of the same models on the test split. `rivals` `[K]` are the configurations, `best` among them,
    that are not shown to be worse: luck decides between these alone, so a clear winner needs no correction.

    Source: shrinkage as James and Stein (1961), in the positive-part form of Lindley; regression for the test score.
    """
    if scores.shape != test.shape:
        raise ValueError(f"shapes {scores.shape} and {test.shape}; give two [configurations, seeds] of one shape")
    fit = blocked_fit(scores)
    among = np.ones(len(fit.means), dtype=np.bool_) if rivals is None else rivals[fit.configurations]
    mean, means, k = float(fit.means_of_all[best]), fit.means[among], int(among.sum())
    kept = 1.0  # the share of the differences between rivals that is not chance
    if fit.cannot and len(fit.means) > 1:
        kept = math.nan
    elif k > 3:
        chance = fit.error_variance * float((1 / np.isfinite(fit.table[among]).sum(axis=1)).mean())
        between = float(means.var(ddof=1))
        kept = max(0.0, 1 - (k - 3) / (k - 1) * chance / between) if between else 0.0
    optimism = (1 - kept) * (mean - float(means.mean()))
    of_test = optimism * _shared(scores, test) if optimism else optimism
    return Winner(expected=mean - optimism, optimism=optimism, test_optimism=of_test)


def simultaneous_intervals(scores: Floats, level: float = 0.95) -> list[Interval]:
    """For each configuration of `[K, S]` the interval of its mean over new seeds, true of all of them at once.

    So it is valid for the one that was selected by these very scores.

    Source: Bonferroni over the K, with Satterthwaite's (1946) degrees of freedom for the spread of seeds and errors
    together, and a configuration's own spread where that is larger. Simulated coverage: `scripts/simulate.py`.
    """
    check_level(level)
    fit = blocked_fit(scores)
    k, s = fit.table.shape
    lone = Interval(estimate=math.nan, level=level, n=0, cannot="it shares no seed with the others")
    intervals = [lone] * len(scores)
    for configuration, mean, scored in zip(fit.configurations, fit.means.tolist(), fit.table, strict=True):
        row = scored[np.isfinite(scored)]
        n, half, cannot = len(row), math.nan, fit.cannot if k > 1 else ""
        if not cannot and s < 2:
            cannot = f"{counted(n, 'seed')}: the spread between seeds is unknown"
        elif not cannot and k == 1 and no_spread(row):
            cannot = f"all {n} values are identical: their spread is unknown"
        elif not cannot:
            variance, df = float(row.var(ddof=1)) if n > 1 else 0.0, float(n - 1)
            if k > 1:
                seeds = k * float(np.nanmean(fit.table - fit.means[:, None], axis=0).var(ddof=1))
                parts = np.array([seeds / k, (k - 1) / k * fit.error_variance])
                variance = max(float(parts.sum()), variance)
                df = float(parts.sum()) ** 2 / float((parts**2 / np.array([s - 1, fit.df])).sum())
            half = t_quantile(1 - (1 - level) / (2 * k), df) * math.sqrt(variance / n)
        low, high = mean - half, mean + half
        intervals[configuration] = Interval(estimate=mean, low=low, high=high, level=level, n=n, cannot=cannot)
    return intervals


def _shared(scores: Floats, test: Floats) -> float:
    """How much of a lucky score the same models' test score shows: r times the ratio of their spreads."""
    # Of what configuration and seed leave, for a seed that is lucky with all of them is not what was selected by.
    both = np.isfinite(scores) & np.isfinite(test)
    one, other = (blocked_fit(np.where(both, values, math.nan)) for values in (scores, test))
    if one.cannot:
        return math.nan
    of_one, of_other = (float(np.nansum(fit.errors**2)) for fit in (one, other))
    r = max(float(np.nansum(one.errors * other.errors)) / math.sqrt(of_one * of_other), 0.0) if of_other else 0.0
    return (r if one.df > _FEWEST_DF else 1.0) * math.sqrt(of_other / of_one)
