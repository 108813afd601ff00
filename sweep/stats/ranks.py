"""Configurations over several data sets, compared by rank.

Axis letters: B blocks (data sets), K configurations.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.stats.intervals import check_level, counted
from sweep.stats.spread import spread_quantile

_FEWEST_BLOCKS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class CriticalDifference:
    """What a critical-difference diagram shows.

    Attributes:
        average_ranks: `[K]`, 1 is best, ties share their average.
        difference: two average ranks further apart than this differ (Nemenyi); NaN when `cannot` is set.
        groups: maximal runs, best first, of two or more configurations that do not differ.
        statistic: Friedman's chi-squared, corrected for ties.
        p_value: its p-value: whether any configuration differs. When it is not small the groups mean nothing.
        n_blocks: complete blocks used.
        left_out_blocks: indices of blocks with a missing score.
        level: confidence of the family of pairs.
        cannot: why nothing can be compared; empty when it can.
    """

    average_ranks: NDArray[np.float64]
    difference: float
    groups: tuple[tuple[int, ...], ...]
    statistic: float
    p_value: float
    n_blocks: int
    left_out_blocks: tuple[int, ...]
    level: float
    cannot: str


def critical_difference(scores: NDArray[np.float64], level: float = 0.95) -> CriticalDifference:
    """Friedman's test and Nemenyi's critical difference for scores `[B, K]`, one per block and configuration.

    Blocks with a missing score are left out; fewer than five complete ones are refused, for ranks of so few
    can hardly differ. Assumes independent blocks, so one score per data set and not one per seed.

    Raises:
        ValueError: if `scores` is not `[B, K]` or `level` not in (0, 1).

    Source: Demsar (2006), Journal of Machine Learning Research 7; `scipy.stats.friedmanchisquare`.
    """
    # Only several data sets need ranks, and scipy.stats takes longer to import than all the rest of a report.
    from scipy import stats

    check_level(level)
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"scores has shape {table.shape}; give [blocks, configurations]")
    complete = np.isfinite(table).all(axis=1)
    left_out = tuple(np.flatnonzero(~complete).tolist())
    table = table[complete]
    blocks, k = table.shape
    ranks = stats.rankdata(-table, axis=1) if table.size else table
    cannot = ""
    if k < 3:
        cannot = f"{counted(k, 'configuration')}: ranks need three or more, a pair has its own test"
    elif blocks < _FEWEST_BLOCKS:
        cannot = f"{counted(blocks, 'complete block')}: ranks need {_FEWEST_BLOCKS} or more to differ"
    elif (np.ptp(ranks, axis=1) == 0).all():
        cannot = "all configurations tie in every block"
    average_ranks = ranks.mean(axis=0) if blocks else np.full(k, math.nan)
    difference = statistic = p_value = math.nan
    groups: tuple[tuple[int, ...], ...] = ()
    if not cannot:
        statistic, p_value = (float(number) for number in stats.friedmanchisquare(*table.T))
        standard_error = math.sqrt(k * (k + 1) / (12 * blocks))
        difference = spread_quantile(level, tied=k, count=k, df=math.inf) * standard_error
        groups = _runs(average_ranks, difference)
    return CriticalDifference(
        average_ranks=average_ranks,
        difference=difference,
        groups=groups,
        statistic=statistic,
        p_value=p_value,
        n_blocks=blocks,
        left_out_blocks=left_out,
        level=level,
        cannot=cannot,
    )


def _runs(average_ranks: NDArray[np.float64], difference: float) -> tuple[tuple[int, ...], ...]:
    order = np.argsort(average_ranks, kind="stable")
    ordered = average_ranks[order]
    ends = np.searchsorted(ordered, ordered + difference, side="right")
    runs = []
    for start, end in enumerate(ends):
        if end - start > 1 and (start == 0 or end > ends[start - 1]):
            runs.append(tuple(order[start:end].tolist()))
    return tuple(runs)
