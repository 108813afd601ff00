"""Which configurations cannot be told apart from the best, and which from each other.

Axis letters: K configurations, S seeds. Everything rests on the blocked model of `blocks.py`: within a seed
the errors of the configurations have one variance. A few that vary far more than the rest are set aside and
compared by their own paired differences. Milder unevenness cannot be repaired with a handful of seeds and
makes claims bolder than stated: if a third of 27 configurations vary twice as much as the others, 5 % false
claims become about 20 %. `uneven_p` tells when to be wary.

Sign-flip and permutation tests would need no such assumption, but S seeds allow 2^S sign flips: at S = 5 no
p-value below 1/32, nothing left to share among K comparisons. They are not offered.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.stats.blocks import BlockedFit, blocked_fit
from sweep.stats.intervals import check_level
from sweep.stats.spread import spread_probability, spread_quantile
from sweep.stats.steadiness import residuals, uneven_p_value


@dataclass(frozen=True, kw_only=True, eq=False)
class BestSet:
    """K configurations compared with the best of them; arrays are `[K]`, NaN or False where left out.

    Attributes:
        best: index of the configuration with the best mean over the seeds used; None without scores.
        in_best_set: not shown to be worse than the best. With probability `level` no configuration that truly
            is best, alone or tied, is missing. When `cannot` is set every configuration with scores is in.
        p_worse: p-value, adjusted for all comparisons, of "worse than the best"; 1 for the best.
        intervals: `[K, 2]` Hsu's simultaneous intervals for mean minus the best other mean, in the score's
            unit and positive when better whatever the direction. They include 0 as an end: [-a, 0] says "not
            better than the best other", which a tie fulfils, so it may belong to a configuration that is
            still in the set.
        means: mean over the seeds used.
        critical_value: Dunnett's one-sided d for the intervals.
        standard_error: of the difference of two means, neither of them unsteady.
        error_variance: of the blocked model; the standard deviation of a paired difference is sqrt(2 x this).
        df: degrees of freedom of the error.
        n: seeds used.
        level: confidence of the whole family.
        uneven_p: p-value of "all configurations that share the error variance vary alike"; when it is small,
            p-values near the limit deserve no trust. NaN below three configurations.
        unsteady: indices of configurations whose far larger spread was set aside.
        left_out_configurations: indices not compared because of missing scores.
        left_out_seeds: indices not used because of missing scores.
        cannot: why nothing can be excluded; empty when something could be.
    """

    best: int | None
    in_best_set: NDArray[np.bool_]
    p_worse: NDArray[np.float64]
    intervals: NDArray[np.float64]
    means: NDArray[np.float64]
    critical_value: float
    standard_error: float
    error_variance: float
    df: int
    n: int
    level: float
    uneven_p: float
    unsteady: tuple[int, ...]
    left_out_configurations: tuple[int, ...]
    left_out_seeds: tuple[int, ...]
    cannot: str


def best_set(scores: NDArray[np.float64], level: float = 0.95, larger_is_better: bool = True) -> BestSet:
    """Configurations not distinguishable from the best, from scores `[K, S]` paired by seed.

    The intervals are Hsu's constrained multiple comparisons with the best. Membership asks for more than
    Hsu's set, which keeps *a* true best with probability `level` but, of several that are exactly tied, drops
    some far more often (of 27 equal ones, some in half of all experiments). Here the worst mean is
    tested first, with the critical value under which all remaining ones tie for best, and testing stops at
    the first that is not rejected: by closure no tied best is dropped with probability `level`. The critical
    values run from Tukey's range for the first down towards Dunnett's for the last.

    Missing scores: see `blocked_fit` for what is left out. Assumes errors of one variance within seeds,
    independent and near enough to normal. Give each group of identical configurations once
    (`representatives`).

    Raises:
        ValueError: if `scores` is not `[K, S]` or `level` not in (0, 1).

    Source: Hsu (1984), Annals of Statistics 12; Hsu (1996), chapter 4; closure: Marcus, Peritz and Gabriel
    (1976).
    """
    check_level(level)
    fit = blocked_fit(np.asarray(scores, dtype=np.float64))
    used = np.array(fit.configurations, dtype=np.intp)
    goodness = fit.means if larger_is_better else -fit.means
    total = len(scores)
    in_best_set = np.zeros(total, dtype=np.bool_)
    in_best_set[used] = True
    p_worse, means, intervals = (np.full(shape, math.nan) for shape in (total, total, (total, 2)))
    means[used] = fit.means
    critical_value = standard_error = uneven_p = math.nan
    if not fit.cannot:
        standard_error = math.sqrt(2 * fit.error_variance / len(fit.seeds))
        critical_value = spread_quantile(level, tied=1, count=len(used), df=fit.df) / math.sqrt(2)
        reach = _reach(fit, level, tied=1)
        lead = goodness[:, None] - goodness
        np.fill_diagonal(lead, math.inf)
        intervals[used, 0] = np.minimum((lead - reach).min(axis=1), 0)
        intervals[used, 1] = np.maximum((lead + reach).min(axis=1), 0)
        p_worse[used] = _step_down(fit, goodness)
        in_best_set = p_worse > 1 - level
        uneven_p = uneven_p_value(residuals(fit.table[fit.steady]))
    return BestSet(
        best=int(used[np.argmax(goodness)]) if len(used) and fit.seeds else None,
        in_best_set=in_best_set,
        p_worse=p_worse,
        intervals=intervals,
        means=means,
        critical_value=critical_value,
        standard_error=standard_error,
        error_variance=fit.error_variance,
        df=fit.df,
        n=len(fit.seeds),
        level=level,
        uneven_p=uneven_p,
        unsteady=tuple(used[~fit.steady].tolist()),
        left_out_configurations=fit.left_out_configurations,
        left_out_seeds=fit.left_out_seeds,
        cannot=fit.cannot,
    )


def tukey_difference(scores: NDArray[np.float64], level: float = 0.95) -> float:
    """The difference between two of K means beyond which Tukey's test calls them different.

    In the score's unit; NaN when nothing can be compared. Not for unsteady configurations. Model, assumptions
    and missing scores as in `best_set`.

    Raises:
        ValueError: if `scores` is not `[K, S]` or `level` not in (0, 1).

    Source: Tukey (1953); q sqrt(error variance / S) with q from the studentised range of K means.
    """
    check_level(level)
    fit = blocked_fit(np.asarray(scores, dtype=np.float64))
    if fit.cannot:
        return math.nan
    k = len(fit.configurations)
    standard_error = math.sqrt(fit.error_variance / len(fit.seeds))
    return spread_quantile(level, tied=k, count=k, df=fit.df) * standard_error


def all_pairs(scores: NDArray[np.float64], level: float = 0.95) -> NDArray[np.bool_]:
    """Which pairs of configurations differ, `[K, K]`, from scores `[K, S]` paired by seed.

    With probability `level` no pair of equal configurations is among them. All False where nothing can be
    compared, and in the rows and columns of configurations left out; `best_set` names them and says why.

    Raises:
        ValueError: if `scores` is not `[K, S]` or `level` not in (0, 1).

    Source: Tukey's honestly significant difference; for unsteady configurations Games and Howell (1976).
    """
    check_level(level)
    fit = blocked_fit(np.asarray(scores, dtype=np.float64))
    different = np.zeros((len(scores), len(scores)), dtype=np.bool_)
    if not fit.cannot:
        gaps = np.abs(fit.means[:, None] - fit.means)
        different[np.ix_(fit.configurations, fit.configurations)] = gaps > _reach(fit, level, tied=len(gaps))
    return different


def _reach(fit: BlockedFit, level: float, tied: int) -> NDArray[np.float64]:
    """For each pair the difference that chance exceeds with probability 1 - level in the whole family."""
    k, errors = len(fit.means), fit.standard_errors() / math.sqrt(2)
    reach = spread_quantile(level, tied=tied, count=k, df=fit.df) * errors
    if not fit.steady.all():
        own = fit.own_pairs()
        reach[own] = spread_quantile(level, tied=tied, count=k, df=len(fit.seeds) - 1) * errors[own]
    return reach


def _step_down(fit: BlockedFit, goodness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values of "worse than the best", for the configurations used."""
    k = len(goodness)
    errors, own = fit.standard_errors() / math.sqrt(2), fit.own_pairs()
    gaps = (goodness - goodness[:, None]) / errors
    pooled = np.where(own, 0, gaps).max(axis=1)
    paired = np.where(own, gaps, 0).max(axis=1)

    def p_value(index: int, tied: int) -> float:
        reached = 0.0
        if pooled[index] > 0:
            reached = spread_probability(pooled[index], tied=tied, count=k, df=fit.df)
        if paired[index] > 0:
            by_pair = spread_probability(paired[index], tied=tied, count=k, df=len(fit.seeds) - 1)
            reached = max(reached, by_pair)
        return 1 - reached

    order = np.argsort(-pooled, kind="stable")
    if not fit.steady.all():
        order = np.argsort([p_value(index, k) for index in range(k)], kind="stable")
    p, largest = np.ones(k), 0.0
    for done, index in enumerate(order[:-1]):
        largest = max(largest, p_value(int(index), k - done))
        p[index] = largest
    return p
