"""Accuracy against cost: the configurations that no other beats on both.

Axis letters: K configurations.
"""

import numpy as np
from numpy.typing import NDArray


def pareto_front(cost: NDArray[np.float64], score: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of K configurations is on the front: no other is as good on both and better on one.

    `cost` (smaller is better) and `score` (larger is better) are `[K]`, in any unit. Equal configurations are
    on it together; one with a missing value is not on it. The values are taken as exact: a front of measured
    means is itself uncertain.

    Raises:
        ValueError: if the two are not `[K]` of one length.

    Source: Pareto dominance; Kung, Luccio and Preparata (1975) for the sweep in order of cost.
    """
    cost, score = np.asarray(cost, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if cost.ndim != 1 or cost.shape != score.shape:
        raise ValueError(f"shapes {cost.shape} and {score.shape}; give two [configurations] of one length")
    front = np.zeros(len(cost), dtype=np.bool_)
    highest, its_cost = -np.inf, np.nan
    known = np.flatnonzero(~np.isnan(cost) & ~np.isnan(score))
    for index in known[np.lexsort((-score[known], cost[known]))]:
        equal = score[index] == highest and cost[index] == its_cost
        if score[index] > highest or equal:
            front[index] = True
            highest, its_cost = score[index], cost[index]
    return front
