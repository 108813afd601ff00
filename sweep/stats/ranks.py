"""Configurations put in order: by rank over several data sets, and by score and cost at once.

Axis letters: B blocks (data sets), K configurations.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.stats.distributions import Floats, spread_quantile
from sweep.stats.intervals import check_level, counted

_FEWEST_BLOCKS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class CriticalDifference:
    """What a critical-difference diagram shows.

    Average ranks `[K]`, of which 1 is best and ties share theirs, differ where they are further apart than `difference`
    (Nemenyi). `groups` are maximal runs, best first, of two or more that do not differ; they mean nothing when the
    `p_value` of Friedman's test, of no difference at all, is not small. `n_blocks` are the complete blocks.
    """

    average_ranks: Floats
    difference: float
    groups: tuple[tuple[int, ...], ...]
    p_value: float
    n_blocks: int
    cannot: str


def critical_difference(scores: Floats, level: float = 0.95) -> CriticalDifference:
    """Friedman's test and Nemenyi's critical difference for scores `[B, K]`, one per block and configuration.

    Blocks with a missing score are left out. Assumes independent ones: one score per data set, not one per seed.

    Source: Demsar (2006), Journal of Machine Learning Research 7; `scipy.stats.friedmanchisquare`.
    """
    # Only several data sets need ranks, and scipy.stats takes longer to import than all the rest of a report.
    from scipy import stats

    check_level(level)
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"scores has shape {table.shape}; give [blocks, configurations]")
    table = table[np.isfinite(table).all(axis=1)]
    blocks, k = table.shape
    ranks = stats.rankdata(-table, axis=1) if table.size else table
    average_ranks = ranks.mean(axis=0) if blocks else np.full(k, math.nan)
    cannot, difference, p_value = "", math.nan, math.nan
    groups: tuple[tuple[int, ...], ...] = ()
    if k < 3:
        cannot = f"{counted(k, 'configuration')}: ranks need three or more, a pair has its own test"
    elif blocks < _FEWEST_BLOCKS:
        cannot = f"{counted(blocks, 'complete block')}: ranks need {_FEWEST_BLOCKS} or more to differ"
    elif (np.ptp(ranks, axis=1) == 0).all():
        cannot = "all configurations tie in every block"
    else:
        p_value = float(stats.friedmanchisquare(*table.T).pvalue)
        standard_error = math.sqrt(k * (k + 1) / (12 * blocks))
        difference = spread_quantile(level, tied=k, count=k, df=math.inf) * standard_error
        order = np.argsort(average_ranks, kind="stable")
        ends = np.searchsorted(average_ranks[order], average_ranks[order] + difference, side="right").tolist()
        runs = [(start, end) for start, end in enumerate(ends) if end - start > 1 and end not in ends[:start]]
        groups = tuple(tuple(order[start:end].tolist()) for start, end in runs)
    return CriticalDifference(
        average_ranks=average_ranks,
        difference=difference,
        groups=groups,
        p_value=p_value,
        n_blocks=blocks,
        cannot=cannot,
    )


def pareto_front(cost: Floats, score: Floats) -> NDArray[np.bool_]:
    """Whether each of K configurations is on the front: no other is as good on both and better on one.

    `cost` (smaller is better) and `score` (larger is better) are `[K]`, in any unit, and taken as exact. Equal ones are
    on it together; one with a missing value is not on it.
    """
    cost, score = np.asarray(cost, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if cost.ndim != 1 or cost.shape != score.shape:
        raise ValueError(f"shapes {cost.shape} and {score.shape}; give two [configurations] of one length")
    no_dearer, no_worse = cost <= cost[:, None], score >= score[:, None]
    beaten = (no_dearer & no_worse & ((cost < cost[:, None]) | (score > score[:, None]))).any(axis=1)
    return ~np.isnan(cost) & ~np.isnan(score) & ~beaten
