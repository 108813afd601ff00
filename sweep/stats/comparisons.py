"""Which configurations are shown to differ, and which could still be the best.

Axis letters: K configurations, S seeds. One rule for the doubt about a difference (`blocks.py`) and one p-value for
each pair serve everything that is said of two configurations.

The limit below which a p-value is a claim is not always 1 - level. Spreads that differ, the rule where a learning rate
is among the axes, make a procedure of 5 % claim more than that, and a handful of seeds cannot show that they differ. So
with fewer than ten seeds the limit is 2 %. Where spread is seen to be uneven, or two seeds could not show it, claims
are `provisional`; others are wrong in at most 5 % of what was simulated, 7 % at three seeds: 18 equal configurations of
which a third has two or three times the spread of the others, or one three times, spreads from 0.45 to 2.2, or
t-distributed errors (`tests/test_stats_comparisons.py`).

Sign-flip and permutation tests would need no such care, but S seeds allow 2^S sign flips: at S = 5 no p-value below
1/32, nothing left to share among K comparisons.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sweep.stats.blocks import blocked_fit
from sweep.stats.intervals import Interval, check_level, counted
from sweep.stats.spread import spread_probability, spread_quantile
from sweep.stats.steadiness import uneven_p_value

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
        standard_errors: of the difference of each two means.
        p_worse: p-value, adjusted for all comparisons, of "may be the best"; 1 for the best. Any other one may show it.
        p_behind: likewise of "not behind `best`"; larger than `p_worse` where not `best`, which varies too much, but
            another one shows it.
        limit: p-values below it are claims.
        error_variance: common to all; the standard deviation of a paired difference is sqrt(2 x this).
        df: degrees of freedom of the error.
        n: the number of seeds that each configuration has, at least.
        seeds: all seeds that take part.
        level: confidence of all claims together.
        looks: how often the experiment has been looked at, this time included, with more seeds each time.
        uneven_p: p-value of "all configurations vary alike"; NaN below three configurations.
        provisional: why claims cannot carry `level`; empty when they can.
        left_out: indices of configurations not compared because of missing scores.
        cannot: why nothing can be shown; empty when something could be.
    """

    best: int | None
    means: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    p_worse: NDArray[np.float64]
    p_behind: NDArray[np.float64]
    limit: float
    error_variance: float
    df: int
    n: int
    seeds: int
    level: float
    looks: int
    uneven_p: float
    provisional: str
    left_out: tuple[int, ...]
    cannot: str

    @property
    def in_best_set(self) -> NDArray[np.bool_]:
        """Which configurations are not shown to be worse than the best; all with scores if nothing can be shown."""
        compared = np.isfinite(self.means)
        compared[list(self.left_out)] = False
        return compared if self.cannot else compared & ~(self.p_worse < self.limit)

    @cached_property
    def reach(self) -> NDArray[np.float64]:
        """For each pair the difference that chance exceeds, anywhere among all pairs, with probability `limit`."""
        if self.cannot:
            return np.full_like(self.standard_errors, math.nan)
        count = len(self.means) - len(self.left_out)
        quantile = spread_quantile(1 - self.limit, tied=count, count=count, df=self.df)
        return self.standard_errors * (quantile / math.sqrt(2))

    @property
    def better(self) -> NDArray[np.bool_]:
        """Whether the first of two is shown to be better than the second."""
        return np.asarray(self.means[:, None] - self.means > self.reach)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """The best and the worst rank that each configuration may have, `[K, 2]`, true of all of them at once.

        A configuration that is left out may have any rank, and the others count with it.

        Source: simultaneous ranks from all pairs, Mohamad, Goeman and van Zwet (2019), "Simultaneous confidence
        intervals for ranks using the partitioning principle"; here by the plain counting bound.
        """
        better = self.better
        first = 1 + better.sum(axis=0)
        last = len(self.means) - better.sum(axis=1)
        # The test in steps sees more than all pairs: what is not the best is second, the only one left is first.
        first = np.where(self.p_worse < self.limit, np.maximum(first, 2), first)
        alone = not self.left_out and self.in_best_set.sum() == 1
        last = np.where(self.in_best_set & alone, 1, last)
        return np.stack([first, last], axis=1).astype(np.int64)

    def difference(self, one: int, other: int) -> Interval:
        """Mean of `one` minus mean of `other`, with an interval that holds for all pairs at once.

        Between `best` and what is shown to be behind it, it ends at 0: the test in steps sees more than all pairs at
        once.
        """
        estimate, reach = float(self.means[one] - self.means[other]), float(self.reach[one, other])
        low, high = estimate - reach, estimate + reach
        if one == self.best and self.p_behind[other] < self.limit:
            low = max(low, 0.0)
        if other == self.best and self.p_behind[one] < self.limit:
            high = min(high, 0.0)
        return Interval(
            estimate=estimate,
            low=low,
            high=high,
            level=self.level,
            n=self.n,
            cannot=self.cannot,
        )

    def better_than(self, reference: int) -> NDArray[np.float64]:
        """p-values `[K]` of "not better than `reference`", a configuration that was named before anything was trained.

        Adjusted for all comparisons with it; NaN for itself and for what cannot be compared.

        Source: Dunnett (1955), one-sided, in steps from the largest lead down (Marcus, Peritz and Gabriel 1976).
        """
        return self._in_steps(self.means - self.means[reference], reference)

    def worse_than(self, reference: int) -> NDArray[np.float64]:
        """p-values `[K]` of "not worse than `reference`"; all else as in `better_than`."""
        return self._in_steps(self.means[reference] - self.means, reference)

    def _in_steps(self, leads: NDArray[np.float64], reference: int) -> NDArray[np.float64]:
        p, errors = np.full(len(leads), math.nan), self.standard_errors[reference]
        others = np.flatnonzero(np.isfinite(errors) & (np.arange(len(leads)) != reference))
        with np.errstate(divide="ignore", invalid="ignore"):
            gaps = np.nan_to_num(leads[others] / errors[others] * math.sqrt(2), nan=0.0, posinf=1e6)
        largest = 0.0
        for done, place in enumerate(np.argsort(-gaps, kind="stable")):
            gap = min(float(gaps[place]), 1e6)
            if gap > 0:
                reached = spread_probability(gap, tied=1, count=len(others) - done + 1, df=self.df)
                largest = max(largest, 1 - reached)
            p[others[place]] = largest if gap > 0 else 1.0
        return p


def compare(scores: NDArray[np.float64], level: float = 0.95, *, looks: int = 1) -> Comparisons:
    """Compares configurations by their scores `[K, S]`, paired by seed, NaN where one is missing; larger is better.

    With probability `level` no configuration that truly is the best, alone or tied, is called worse, whatever the other
    means: the worst mean is tested first, with the critical value under which all remaining ones tie for best, and
    testing stops at the first that is not rejected. Give each group of identical configurations once.

    Args:
        scores: Missing for reasons unrelated to the score.
        level: Confidence of all claims of this and all earlier looks together.
        looks: How often more seeds were added after looking, plus one; later looks have less of 1 - level to spend.

    Raises:
        ValueError: if `scores` is not `[K, S]`, `level` not in (0, 1) or `looks` below 1.

    Source: Tukey's studentised range; closure: Marcus, Peritz and Gabriel (1976).
    """
    check_level(level)
    if looks < 1:
        raise ValueError(f"looks is {looks}; the first look is 1")
    fit = blocked_fit(np.asarray(scores, dtype=np.float64))
    used, total = fit.configurations, len(scores)
    p_worse, p_behind = (np.full(total, math.nan) for _ in range(2))
    standard_errors = np.full((total, total), math.nan)
    n = int(np.isfinite(fit.table).sum(axis=1).min()) if fit.table.size else 0
    limit = _limit(level, len(used), n, looks)
    uneven_p = math.nan
    if not fit.cannot:
        standard_errors[np.ix_(used, used)] = fit.standard_errors
        p_worse[used], p_behind[used] = _step_down(fit.means, fit.standard_errors, fit.df)
        uneven_p = uneven_p_value(fit.errors)
    return Comparisons(
        best=int(used[np.argmax(fit.means)]) if fit.table.size else None,
        means=fit.means_of_all,
        standard_errors=standard_errors,
        p_worse=p_worse,
        p_behind=p_behind,
        limit=limit,
        error_variance=fit.error_variance,
        df=fit.df,
        n=n,
        seeds=fit.table.shape[1],
        level=level,
        looks=looks,
        uneven_p=uneven_p,
        provisional="" if fit.cannot else _doubt(len(used), n, uneven_p),
        left_out=tuple(fit.left_out.tolist()),
        cannot=fit.cannot,
    )


def _limit(level: float, count: int, n: int, looks: int) -> float:
    """The limit for p-values; those of any number of looks, not known beforehand, add up to 1 - level at most."""
    careful = _LIMIT_OF_FEW if count > 2 and n < _MANY_SEEDS else 1.0
    return (1 - level) * min(careful, 1 / (looks * (looks + 1)))


def _doubt(count: int, n: int, uneven_p: float) -> str:
    if count < 3:
        return ""  # the common error is the pair's own
    if uneven_p < _UNEVEN:
        return "the configurations' spread differs"
    return f"{counted(n, 'seed')} cannot show whether the configurations' spread differs" if n < 3 else ""


def _step_down(
    means: NDArray[np.float64], errors: NDArray[np.float64], df: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Adjusted p-values of "may be the best", by what leads it most, and of "not behind" the one with the best mean."""
    k = len(means)
    with np.errstate(divide="ignore", invalid="ignore"):
        # In standard errors of one mean; equal means that never differ are 0 of them apart.
        gaps = np.clip(np.nan_to_num((means - means[:, None]) / errors * math.sqrt(2), nan=0.0), 0.0, 1e6)
    largest, behind_best = gaps.max(axis=1), gaps[:, means.argmax()]
    p_worse, p_behind, reached = np.ones(k), np.ones(k), 0.0
    for done, index in enumerate(np.argsort(-largest, kind="stable")[:-1]):
        for p_values, gap in ((p_worse, largest[index]), (p_behind, behind_best[index])):
            if p_values is p_behind and gap == largest[index]:
                p_behind[index] = p_worse[index]
            elif gap:
                p_values[index] = max(reached, 1 - spread_probability(float(gap), tied=k - done, count=k, df=df))
        reached = p_worse[index]
    return p_worse, p_behind
