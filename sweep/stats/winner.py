"""What the configuration with the best mean will give with new seeds: the best of many was also the luckiest.

Axis letters: K configurations, S seeds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.stats.blocks import BlockedFit, blocked_fit
from sweep.stats.distributions import Floats, t_quantile
from sweep.stats.intervals import Interval, around, check_level, counted, no_spread

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

    Source: shrinkage as James and Stein (1961), in the positive-part form of Lindley. The share of the test score is
    the regression of one on the other, of what configuration and seed leave.
    """
    if scores.shape != test.shape:
        raise ValueError(f"shapes {scores.shape} and {test.shape}; give two [configurations, seeds] of one shape")
    fit = blocked_fit(scores)
    mean = float(fit.means_of_all[best])
    among = np.ones(len(fit.means), dtype=np.bool_) if rivals is None else rivals[fit.configurations]
    optimism = (1 - _kept(fit, among)) * (mean - float(fit.means[among].mean()))
    return Winner(
        expected=mean - optimism,
        optimism=optimism,
        test_optimism=optimism * _shared(scores, test) if optimism else optimism,
    )


def simultaneous_intervals(scores: Floats, level: float = 0.95) -> list[Interval]:
    """For each configuration of `[K, S]` the interval of its mean over new seeds, true of all of them at once.

    So it is valid for the one that was selected by these very scores. The estimate is that of `blocked_fit`.

    Source: Bonferroni over the K, with Satterthwaite's (1946) degrees of freedom for the spread of seeds and errors
    together, and a configuration's own spread where that is larger. Simulated coverage: `scripts/simulate.py`.
    """
    check_level(level)
    fit = blocked_fit(scores)
    lone = Interval(estimate=math.nan, level=level, n=0, cannot="it shares no seed with the others")
    intervals = [lone] * len(scores)
    for place, configuration in enumerate(fit.configurations):
        intervals[configuration] = _interval(fit, place, level)
    return intervals


def _interval(fit: BlockedFit, place: int, level: float) -> Interval:
    k, s = fit.table.shape
    mean, row = float(fit.means[place]), fit.table[place][np.isfinite(fit.table[place])]
    n, cannot = len(row), fit.cannot if k > 1 else ""
    if not cannot and s < 2:
        cannot = f"{counted(n, 'seed')}: the spread between seeds is unknown"
    elif not cannot and k == 1 and no_spread(row):
        cannot = f"all {n} values are identical: their spread is unknown"
    if cannot:
        return Interval(estimate=mean, level=level, n=n, cannot=cannot)
    variance, df = float(row.var(ddof=1)) if n > 1 else 0.0, float(n - 1)
    if k > 1:
        seeds = k * float(np.nanmean(fit.table - fit.means[:, None], axis=0).var(ddof=1))
        parts = np.array([seeds / k, (k - 1) / k * fit.error_variance])
        variance = max(float(parts.sum()), variance)
        df = float(parts.sum()) ** 2 / float((parts**2 / np.array([s - 1, fit.df])).sum())
    half = t_quantile(1 - (1 - level) / (2 * k), df) * math.sqrt(variance / n)
    return around(mean, half, level=level, n=n)


def _kept(fit: BlockedFit, among: NDArray[np.bool_]) -> float:
    """The share of the differences between some of the means that is not chance."""
    k = int(among.sum())
    if k <= 3 or fit.cannot:
        return 1.0 if not fit.cannot or len(fit.means) == 1 else math.nan
    counts = np.isfinite(fit.table[among]).sum(axis=1)
    chance = fit.error_variance * float((1 / counts).mean())
    between = float(fit.means[among].var(ddof=1))
    return max(0.0, 1 - (k - 3) / (k - 1) * chance / between) if between else 0.0


def _shared(scores: Floats, test: Floats) -> float:
    """How much of a lucky score the same models' test score shows: r times the ratio of their spreads."""
    # Of what configuration and seed leave, for a seed that is lucky with all of them is not what was selected by.
    both = np.isfinite(scores) & np.isfinite(test)
    one, other = (blocked_fit(np.where(both, values, math.nan)) for values in (scores, test))
    if one.cannot:
        return math.nan
    of_one, of_other, products = (
        float(np.nansum(a * b)) for a, b in ((one.errors,) * 2, (other.errors,) * 2, (one.errors, other.errors))
    )
    r = max(products / math.sqrt(of_one * of_other), 0.0) if of_other else 0.0
    return (r if one.df > _FEWEST_DF else 1.0) * math.sqrt(of_other / of_one)
