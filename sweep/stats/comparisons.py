"""Which configurations are shown to differ, and which could still be the best.

Axis letters: K configurations, S seeds.

Spreads that differ, the rule where a learning rate is among the axes, make a procedure of 5 % claim more than that, and
a handful of seeds cannot show that they differ. So with fewer than ten seeds the limit for p-values is 2 %. Where
spread is seen to be uneven, or two seeds could not show it, claims are `provisional`; others are wrong in at most 5 %
of what was simulated, 7 % at three seeds (`tests/test_stats_comparisons.py`). Sign-flip tests would need no such care,
but at S = 5 they have no p-value below 1/32, nothing left to share among K comparisons.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sweep.stats.blocks import blocked_fit, uneven_p_value
from sweep.stats.distributions import Floats, spread_probability, spread_quantile
from sweep.stats.intervals import Interval, check_level, counted

_LIMIT_OF_FEW = 0.4
"""Share of 1 - level that is used with fewer than `_MANY_SEEDS` seeds: 2 % of 5 %."""
_MANY_SEEDS = 10
_UNEVEN = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparisons:
    """K configurations compared with each other; larger is better. Arrays are `[K]` or `[K, K]`, NaN where left out.

    Attributes:
        best: index of the configuration with the largest mean, the first of several; None without scores.
        means: over all seeds, the missing ones estimated.
        p_worse: p-value, adjusted for all comparisons, of "may be the best"; 1 for the best. Any other one may show it.
        p_behind: of "not behind `best`"; larger where not `best`, which varies too much, but another one shows it.
        limit: p-values below it are claims.
        error_variance: common to all; the standard deviation of a paired difference is sqrt(2 x this).
        n: seeds that each configuration has, at least.
        uneven_p: of "all configurations vary alike"; NaN below three configurations.
        provisional: why claims cannot carry `level`; empty when they can.
    """

    best: int | None
    means: Floats
    standard_errors: Floats
    p_worse: Floats
    p_behind: Floats
    limit: float
    error_variance: float
    df: int
    n: int
    level: float
    looks: int
    uneven_p: float
    provisional: str
    cannot: str

    @property
    def in_best_set(self) -> NDArray[np.bool_]:
        """Which configurations are not shown to be worse than the best; all with scores if nothing can be shown."""
        compared = np.isfinite(self.means)
        return compared if self.cannot else compared & ~(self.p_worse < self.limit)

    @cached_property
    def reach(self) -> Floats:
        """For each pair the difference that chance exceeds, anywhere among all pairs, with probability `limit`."""
        count = int(np.isfinite(self.means).sum())
        quantile = math.nan if self.cannot else spread_quantile(1 - self.limit, tied=count, count=count, df=self.df)
        return self.standard_errors * (quantile / math.sqrt(2))

    @property
    def better(self) -> NDArray[np.bool_]:
        """Whether the first of two is shown to be better than the second."""
        return np.asarray(self.means[:, None] - self.means > self.reach)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """The best and the worst rank that each may have, `[K, 2]`, true of all at once; any where one is left out.

        Source: Mohamad, Goeman and van Zwet (2019), "Simultaneous confidence intervals for ranks using the partitioning
        principle"; here by the plain counting bound.
        """
        better = self.better
        first = 1 + better.sum(axis=0)
        last = len(self.means) - better.sum(axis=1)
        # The test in steps sees more than all pairs: what is not the best is second, the only one left is first.
        first = np.where(self.p_worse < self.limit, np.maximum(first, 2), first)
        alone = np.isfinite(self.means).all() and self.in_best_set.sum() == 1
        last = np.where(self.in_best_set & alone, 1, last)
        return np.stack([first, last], axis=1).astype(np.int64)

    def difference(self, one: int, other: int) -> Interval:
        """Mean of `one` minus mean of `other`, with an interval that holds for all pairs at once."""
        estimate, reach = float(self.means[one] - self.means[other]), float(self.reach[one, other])
        low, high = estimate - reach, estimate + reach
        # Between the best and what is shown to be behind it, it ends at 0: the test in steps sees more than all pairs.
        if one == self.best and self.p_behind[other] < self.limit:
            low = max(low, 0.0)
        if other == self.best and self.p_behind[one] < self.limit:
            high = min(high, 0.0)
        return Interval(estimate=estimate, low=low, high=high, level=self.level, n=self.n, cannot=self.cannot)

    def better_than(self, reference: int) -> Floats:
        """p-values `[K]` of "not better than `reference`", named before anything was trained; NaN for itself.

        Source: Dunnett (1955), one-sided, in steps from the largest lead down (Marcus, Peritz and Gabriel 1976).
        """
        return self._against(reference, self.means - self.means[reference])

    def worse_than(self, reference: int) -> Floats:
        """p-values `[K]` of "not worse than `reference`"; all else as in `better_than`."""
        return self._against(reference, self.means[reference] - self.means)

    def _against(self, reference: int, leads: Floats) -> Floats:
        p, errors = np.full(len(leads), math.nan), self.standard_errors[reference]
        others = np.flatnonzero(np.isfinite(errors) & (np.arange(len(leads)) != reference))

        def chance(gap: float, done: int) -> float:
            return 1 - spread_probability(gap, tied=1, count=len(others) - done + 1, df=self.df)

        p[others] = _in_steps(_gaps(leads[others], errors[others]), chance)
        return p


def compare(scores: Floats, level: float = 0.95, *, looks: int = 1) -> Comparisons:
    """Compares configurations by their scores `[K, S]`, paired by seed.

    With probability `level`, over this and all earlier looks, no configuration that truly is the best, alone or tied,
    is called worse, whatever the other means: the worst mean is tested first, with the critical value under which all
    remaining ones tie for best, and testing stops at the first that is not rejected. `looks` is how often more seeds
    were added after looking, plus one; later looks have less of 1 - level to spend.

    Source: Tukey's studentised range; closure: Marcus, Peritz and Gabriel (1976).
    """
    check_level(level)
    if looks < 1:
        raise ValueError(f"looks is {looks}; the first look is 1")
    fit = blocked_fit(np.asarray(scores, dtype=np.float64))
    used, k = fit.configurations, len(scores)
    n = int(np.isfinite(fit.table).sum(axis=1).min()) if fit.table.size else 0
    # What is spent over any number of looks, not known beforehand, adds up to 1 - level at most.
    careful = _LIMIT_OF_FEW if len(used) > 2 and n < _MANY_SEEDS else 1.0
    limit = (1 - level) * min(careful, 1 / (looks * (looks + 1)))
    p_worse, p_behind, standard_errors = np.full(k, math.nan), np.full(k, math.nan), np.full((k, k), math.nan)
    uneven_p, provisional = math.nan, ""
    if not fit.cannot:
        standard_errors[np.ix_(used, used)] = fit.standard_errors
        p_worse[used], p_behind[used] = _step_down(fit.means, fit.standard_errors, fit.df)
        uneven_p = uneven_p_value(fit.errors)
        if len(used) > 2 and uneven_p < _UNEVEN:  # the common error of two is their own
            provisional = "the configurations' spread differs"
        elif len(used) > 2 and n < 3:
            provisional = f"{counted(n, 'seed')} cannot show whether the configurations' spread differs"
    return Comparisons(
        best=int(used[(-fit.means).argmin()]) if fit.table.size else None,
        means=fit.means_of_all,
        standard_errors=standard_errors,
        p_worse=p_worse,
        p_behind=p_behind,
        limit=limit,
        error_variance=fit.error_variance,
        df=fit.df,
        n=n,
        level=level,
        looks=looks,
        uneven_p=uneven_p,
        provisional=provisional,
        cannot=fit.cannot,
    )


def _gaps(leads: Floats, errors: Floats) -> Floats:
    """Leads in standard errors of one mean, 0 where there is none; equal means that never differ are 0 apart."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(np.nan_to_num(leads / errors * math.sqrt(2), nan=0.0), 0.0, 1e6)


def _in_steps(gaps: Floats, chance: Callable[[float, int], float]) -> Floats:
    """p-values from the largest gap down, none smaller than the one before; `chance` of a gap with so many done."""
    p_values, largest = np.ones(len(gaps)), 0.0
    for done, index in enumerate(np.argsort(-gaps, kind="stable")):
        if gaps[index] > 0:
            largest = max(largest, chance(float(gaps[index]), done))
            p_values[index] = largest
    return p_values


def _step_down(means: Floats, errors: Floats, df: int) -> tuple[Floats, Floats]:
    """Adjusted p-values of "may be the best", by what leads it most, and of "not behind" the one with the best mean."""
    k = len(means)
    gaps = _gaps(means - means[:, None], errors)
    largest, behind_best = gaps.max(axis=1), gaps[:, (-means).argmin()]

    def chance(gap: float, done: int) -> float:
        return 1 - spread_probability(gap, tied=k - done, count=k, df=df)

    p_worse = _in_steps(largest, chance)
    p_behind = np.where(behind_best == largest, p_worse, 1.0)
    for done, index in enumerate(np.argsort(-largest, kind="stable")):
        if 0 < behind_best[index] < largest[index]:
            p_behind[index] = max(p_worse[index], chance(float(behind_best[index]), done))
    return p_worse, p_behind
