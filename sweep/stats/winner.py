"""What the configuration with the best mean will give with new seeds: the best of many was also the luckiest.

Axis letters: K configurations, S seeds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.stats.blocks import BlockedFit, blocked_fit
from sweep.stats.distributions import t_quantile
from sweep.stats.intervals import Interval, check_level, counted, no_spread

_FEWEST_DF = 10
"""Below so many degrees of freedom a correlation is taken to be 1, the cautious side."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The selected configuration's score, corrected for having been selected.

    Attributes:
        expected: its mean over new seeds, shrunken towards the mean of its rivals; in the score's unit. NaN if unknown.
        optimism: plain mean minus `expected`, 0 or more.
        test_optimism: what of it the mean test score is expected to share; NaN if unknown.
    """

    expected: float
    optimism: float
    test_optimism: float


def selected(
    scores: NDArray[np.float64], test: NDArray[np.float64], best: int, rivals: NDArray[np.bool_] | None = None
) -> Winner:
    """Corrects the mean of the configuration `best`, which has the largest mean of the scores `[K, S]`.

    Args:
        scores: That selected; NaN where one is missing.
        test: Of the same models on the test split, `[K, S]`.
        best: Index of the selected configuration.
        rivals: Which configurations, this one among them, are not shown to be worse than the best `[K]`: luck decides
            between these alone, so a clear winner needs no correction. All by default.

    Raises:
        ValueError: if the shapes differ.

    Source: shrinkage as James and Stein (1961), in the positive-part form of Lindley. The share of the test score is
    the regression of one on the other, of what configuration and seed leave.
    """
    if scores.shape != test.shape:
        raise ValueError(f"shapes {scores.shape} and {test.shape}; give two [configurations, seeds] of one shape")
    fit = blocked_fit(scores)
    mean = float(fit.means[fit.configurations == best][0])
    among = np.ones(len(fit.means), dtype=np.bool_) if rivals is None else rivals[fit.configurations]
    optimism = (1 - _kept(fit, among)) * (mean - float(fit.means[among].mean()))
    return Winner(
        expected=mean - optimism,
        optimism=optimism,
        test_optimism=optimism * _shared(scores, test) if optimism else optimism,
    )


def simultaneous_intervals(scores: NDArray[np.float64], level: float = 0.95) -> list[Interval]:
    """For each configuration of `[K, S]` the interval of its mean over new seeds, true of all of them at once.

    So it is valid for the one that was selected by these very scores. Missing scores as in `blocked_fit`; the estimate
    is that of the model, NaN for a configuration that cannot be compared.

    Raises:
        ValueError: if `scores` is not `[K, S]` or `level` not in (0, 1).

    Source: Bonferroni over the K, with Satterthwaite's (1946) degrees of freedom for the spread of seeds and errors
    together, and a configuration's own spread where that is larger. Simulated coverage: `scripts/simulate.py`.
    """
    check_level(level)
    fit = blocked_fit(scores)
    nan = math.nan
    missing = Interval(estimate=nan, low=nan, high=nan, level=level, n=0, cannot="it shares no seed with the others")
    intervals = [missing] * len(scores)
    for place, configuration in enumerate(fit.configurations):
        intervals[configuration] = _interval(fit, place, level)
    return intervals


def _kept(fit: BlockedFit, among: NDArray[np.bool_]) -> float:
    """The share of the differences between some of the means that is not chance."""
    k = int(among.sum())
    if k <= 3 or fit.cannot:
        return 1.0 if not fit.cannot or len(fit.means) == 1 else math.nan
    counts = np.isfinite(fit.table[among]).sum(axis=1)
    chance = fit.error_variance * float((1 / counts).mean())
    between = float(fit.means[among].var(ddof=1))
    return max(0.0, 1 - (k - 3) / (k - 1) * chance / between) if between else 0.0


def _interval(fit: BlockedFit, place: int, level: float) -> Interval:
    k, s = fit.table.shape
    mean, row = float(fit.means[place]), fit.table[place][np.isfinite(fit.table[place])]
    n, cannot = len(row), fit.cannot if k > 1 else ""
    if not cannot and s < 2:
        cannot = f"{counted(n, 'seed')}: the spread between seeds is unknown"
    elif not cannot and k == 1 and no_spread(row):
        cannot = f"all {n} values are identical: their spread is unknown"
    if cannot:
        return Interval(estimate=mean, low=math.nan, high=math.nan, level=level, n=n, cannot=cannot)
    own = float(row.var(ddof=1)) if n > 1 else 0.0
    if k == 1:
        variance, df = own, float(n - 1)
    else:
        seeds = k * float(np.nanmean(fit.table - fit.means[:, None], axis=0).var(ddof=1))
        parts = np.array([seeds / k, (k - 1) / k * fit.error_variance])
        variance = max(float(parts.sum()), own)
        df = float(parts.sum()) ** 2 / float((parts**2 / np.array([s - 1, fit.df])).sum())
    half = t_quantile(1 - (1 - level) / (2 * k), df) * math.sqrt(variance / n)
    return Interval(estimate=mean, low=mean - half, high=mean + half, level=level, n=n)


def _shared(scores: NDArray[np.float64], test: NDArray[np.float64]) -> float:
    """How much of a lucky score the same models' test score shows: r times the ratio of their spreads.

    Of what configuration and seed leave, for a seed that is lucky with all of them is not what was selected by.
    """
    both = np.isfinite(scores) & np.isfinite(test)
    one, other = (blocked_fit(np.where(both, values, math.nan)) for values in (scores, test))
    if one.cannot:
        return math.nan
    of_one, of_other, products = (
        float(np.nansum(a * b)) for a, b in ((one.errors,) * 2, (other.errors,) * 2, (one.errors, other.errors))
    )
    r = max(products / math.sqrt(of_one * of_other), 0.0) if of_other else 0.0
    return (r if one.df > _FEWEST_DF else 1.0) * math.sqrt(of_other / of_one)
