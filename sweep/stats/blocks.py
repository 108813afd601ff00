"""The randomised complete block: configurations compared within seeds.

Axis letters: K configurations, S seeds. The model is score = configuration + seed + error. A seed fixes
initial weights and shuffles for every configuration, so what is lucky for all of them is the seed's and
leaves the error.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.stats.intervals import ROUNDING, counted
from sweep.stats.steadiness import residuals, set_aside


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockedFit:
    """The model fitted to the configurations and seeds that form a complete table.

    Attributes:
        configurations: indices of the configurations used.
        seeds: indices of the seeds used.
        left_out_configurations: indices of the others.
        left_out_seeds: indices of the others.
        table: scores `[configurations used, seeds used]`.
        means: mean of each configuration used.
        steady: for each configuration used, whether its spread is part of the error variance.
        error_variance: mean square of the error of the steady ones; NaN when there is none to estimate.
        df: its degrees of freedom, (steady ones - 1)(S - 1).
        cannot: why configurations cannot be compared; empty when they can.
    """

    configurations: tuple[int, ...]
    seeds: tuple[int, ...]
    left_out_configurations: tuple[int, ...]
    left_out_seeds: tuple[int, ...]
    table: NDArray[np.float64]
    means: NDArray[np.float64]
    steady: NDArray[np.bool_]
    error_variance: float
    df: int
    cannot: str

    def standard_errors(self) -> NDArray[np.float64]:
        """Of the difference of each two means, `[configurations used, configurations used]`.

        From the error variance for two steady ones, else from the paired differences of the two, unless those
        are all equal.
        """
        seeds = len(self.seeds)
        pooled = math.sqrt(2 * self.error_variance / seeds)
        errors = np.full((len(self.means), len(self.means)), pooled)
        for row in np.flatnonzero(~self.steady):
            own = (self.table - self.table[row]).std(axis=1, ddof=1) / math.sqrt(seeds)
            errors[row] = errors[:, row] = np.where(own > ROUNDING, own, pooled)
        return errors

    def own_pairs(self) -> NDArray[np.bool_]:
        """Which entries of `standard_errors` have only S - 1 degrees of freedom."""
        return ~(self.steady[:, None] & self.steady)


def blocked_fit(scores: NDArray[np.float64]) -> BlockedFit:
    """Fits configuration + seed + error to a complete part of the scores `[K, S]`.

    What is left out when values are missing, so that the rest is complete:
    1. configurations with fewer than half as many values as the median configuration;
    2. then seeds that a remaining configuration lacks;
    3. if that leaves fewer than two seeds, instead of 2: seeds that fewer than half of the remaining
       configurations have, and then configurations that lack one of the other seeds.

    A configuration that varies far more than the others is `set_aside` from the error variance.

    Assumes values missing for reasons unrelated to the score, additive seeds, and errors that are
    independent, near enough to normal and, among the steady configurations, of one variance.

    Raises:
        ValueError: if `scores` is not `[K, S]`.

    Source: Fisher's randomised blocks, for instance Montgomery (2017), section 4.1.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores has shape {scores.shape}; give [configurations, seeds]")
    configurations, seeds = _complete_part(np.isfinite(scores))
    table = np.asarray(scores, dtype=np.float64)[np.ix_(configurations, seeds)]
    k, s = table.shape
    steady = np.ones(k, dtype=np.bool_)
    error_variance, cannot = math.nan, ""
    if k == 0:
        cannot = "no configuration has a score"
    elif k == 1:
        cannot = "one configuration: there is nothing to compare it with"
    elif s < 2:
        cannot = f"{counted(s, 'common seed')}: the spread between seeds is unknown"
    elif np.abs(residuals(table)).max() <= ROUNDING * np.abs(table).max():
        cannot = "no spread left beyond configuration and seed: differences cannot be tested"
    else:
        steady = ~set_aside(table)
    df = max(int(steady.sum()) - 1, 0) * max(s - 1, 0)
    if not cannot:
        error_variance = float((residuals(table[steady]) ** 2).sum() / df)
    return BlockedFit(
        configurations=tuple(configurations.tolist()),
        seeds=tuple(seeds.tolist()),
        left_out_configurations=tuple(np.setdiff1d(np.arange(scores.shape[0]), configurations).tolist()),
        left_out_seeds=tuple(np.setdiff1d(np.arange(scores.shape[1]), seeds).tolist()),
        table=table,
        means=table.mean(axis=1) if s else np.full(k, math.nan),
        steady=steady,
        error_variance=error_variance,
        df=df,
        cannot=cannot,
    )


def _complete_part(have: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    counts = have.sum(axis=1)
    if not counts.any():
        return np.arange(0), np.arange(0)
    kept = np.flatnonzero((counts > 0) & (counts >= np.median(counts[counts > 0]) / 2))
    seeds = np.flatnonzero(have[kept].all(axis=0))
    if len(seeds) < 2:
        common = np.flatnonzero(2 * have[kept].sum(axis=0) >= len(kept))
        complete = kept[have[np.ix_(kept, common)].all(axis=1)]
        if len(complete) and len(common) > len(seeds):
            return complete, common
    return kept, seeds
