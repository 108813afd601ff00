"""Configurations compared within seeds: score = configuration + seed + error.

Axis letters: K configurations, S seeds. A seed fixes initial weights and shuffles for every configuration, so what is
lucky for all of them is the seed's and leaves the error. Scores may be missing, for reasons that have nothing to do
with the score: every one there is takes part.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sweep.stats.intervals import ROUNDING, counted


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockedFit:
    """The model fitted by least squares to the configurations that can be compared.

    Attributes:
        configurations: indices of the configurations used, K of them.
        left_out: indices of those without a score, or whose seeds no other one has.
        table: scores `[K, S]` of the configurations and seeds used, NaN where missing.
        means: of each configuration over all the seeds used; what a missing seed would have added is estimated.
        errors: residuals `[K, S]`, NaN where missing.
        error_variance: mean square of the error; NaN when there is none to estimate.
        df: its degrees of freedom, (K - 1)(S - 1) where nothing is missing.
        variances: of the difference of each two means, per error variance, `[K, K]`.
        cannot: why configurations cannot be compared; empty when they can.
    """

    configurations: NDArray[np.intp]
    left_out: NDArray[np.intp]
    table: NDArray[np.float64]
    means: NDArray[np.float64]
    errors: NDArray[np.float64]
    error_variance: float
    df: int
    variances: NDArray[np.float64]
    cannot: str

    @property
    def means_of_all(self) -> NDArray[np.float64]:
        """The means of all configurations that were given, NaN for those left out."""
        means = np.full(len(self.configurations) + len(self.left_out), math.nan)
        means[self.configurations] = self.means
        return means

    @cached_property
    def standard_errors(self) -> NDArray[np.float64]:
        """Of the difference of each two means, `[K, K]`; NaN when there is no error to estimate. See `blocked_fit`."""
        if self.cannot:
            return np.full_like(self.variances, math.nan)
        return np.maximum(np.sqrt(self.error_variance * self.variances), _own_errors(self.table))


def blocked_fit(scores: NDArray[np.float64]) -> BlockedFit:
    """Fits configuration + seed + error to the scores `[K, S]`.

    The standard error of a difference is the larger of two: from the error variance of all, and from the paired
    differences of the two alone. So a pair that varies more than the others is not judged by theirs, and one that by
    luck varies less is. Configurations without any spread of their own (all scores 1.0, say) do not lower the common
    error.

    Raises:
        ValueError: if `scores` is not `[K, S]`.

    Source: Fisher's randomised blocks, for instance Montgomery (2017), section 4.1; where values are missing the
    intra-block analysis of Yates (1940). That the larger error keeps 5 % where spreads differ is simulated, not proved:
    `tests/test_stats_comparisons.py`.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores has shape {scores.shape}; give [configurations, seeds]")
    values = np.asarray(scores, dtype=np.float64)
    used, seeds = _connected(np.isfinite(values))
    table = np.where(np.isfinite(values), values, math.nan)[np.ix_(used, seeds)]
    left_out = np.setdiff1d(np.arange(len(values)), used)
    k, s = table.shape
    means, errors, variances = _least_squares(table)
    varying = np.flatnonzero(_varies(table))
    varying = varying if len(varying) > 1 else np.arange(k)
    df = int(np.isfinite(table[varying]).sum()) - len(varying) - s + 1
    cannot = ""
    if k == 0:
        cannot = "no configuration has a score"
    elif k == 1:
        cannot = "one configuration: there is nothing to compare it with"
    elif s < 2:
        cannot = f"{counted(s, 'common seed')}: the spread between seeds is unknown"
    elif df < 1 or np.nanmax(np.abs(errors)) <= ROUNDING * np.nanmax(np.abs(table)):
        cannot = "no spread left beyond configuration and seed: differences cannot be tested"
    error_variance = math.nan
    if not cannot:
        left = errors if len(varying) == k else _least_squares(table[varying])[1]
        error_variance = float(np.nansum(left**2)) / df
    return BlockedFit(
        configurations=used,
        left_out=left_out,
        table=table,
        means=means,
        errors=errors,
        error_variance=error_variance,
        df=max(df, 0),
        variances=variances,
        cannot=cannot,
    )


def _least_squares(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Gives the means `[K]`, the residuals `[K, S]`, and the variances of differences of means, per error variance.

    Configurations are eliminated first, which leaves one equation per seed however many configurations there are.
    """
    there = np.isfinite(table)
    k, s = table.shape
    if not k or not s:
        return np.full(k, math.nan), np.empty((k, s)), np.empty((k, k))
    # Centred first, or a large common offset would cost the digits in which the scores differ.
    offset = float(np.nanmean(table))
    centred = np.where(there, table - offset, 0.0)
    shares = there / there.sum(axis=1, keepdims=True)
    equations = np.diag(there.sum(axis=0).astype(np.float64)) - there.T.astype(np.float64) @ shares
    inverse = np.linalg.pinv(equations, rcond=1e-10, hermitian=True)
    row_means = centred.sum(axis=1) / there.sum(axis=1)
    seed_effects = inverse @ np.where(there, centred - row_means[:, None], 0.0).sum(axis=0)
    effects = row_means - shares @ seed_effects
    errors = np.where(there, centred - effects[:, None] - seed_effects, math.nan)
    crossed = shares @ inverse @ shares.T
    own = 1 / there.sum(axis=1) + crossed.diagonal()
    variances = np.maximum(own[:, None] + own - 2 * crossed, 0.0)
    np.fill_diagonal(variances, 0.0)  # not 2 / S: a mean does not differ from itself
    # The effects of the seeds add up to nothing over the seeds, so the means are those over all seeds.
    return offset + effects + seed_effects.mean(), errors, variances


def _own_errors(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard error of each difference of means from the paired differences of the two alone; 0 below two pairs."""
    there = np.isfinite(table)
    filled = np.where(there, table - np.nanmean(table), 0.0)
    errors = np.zeros((len(table), len(table)))
    for row in range(len(table)):
        both = there & there[row]
        count = both.sum(axis=1)
        differences = np.where(both, filled - filled[row], 0.0)
        mean = differences.sum(axis=1) / np.maximum(count, 1)
        squares = (np.where(both, differences - mean[:, None], 0.0) ** 2).sum(axis=1)
        errors[row] = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
    return errors


def _varies(table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows differ within by more than rounding."""
    there = np.isfinite(table)
    high = np.where(there, table, -math.inf).max(axis=1, initial=-math.inf)
    low = np.where(there, table, math.inf).min(axis=1, initial=math.inf)
    size = np.where(there, np.abs(table), 0.0).max(axis=1, initial=0.0)
    return np.asarray(high - low > ROUNDING * size)


def _connected(there: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The configurations and seeds of the largest part in which each can be compared with each, by way of others."""
    left = there.any(axis=1)
    largest: NDArray[np.bool_] = np.zeros(len(there), dtype=np.bool_)
    while left.any():
        part: NDArray[np.bool_] = np.zeros(len(there), dtype=np.bool_)
        part[np.flatnonzero(left)[0]] = True
        grown = _neighbours(there, part)
        while grown.sum() > part.sum():
            part, grown = grown, _neighbours(there, grown)
        left &= ~part
        if part.sum() > largest.sum():
            largest = part
    used = np.flatnonzero(largest)
    return used, np.flatnonzero(there[used].any(axis=0))


def _neighbours(there: NDArray[np.bool_], part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The configurations that share a seed with one of the part."""
    return np.asarray(there[:, there[part].any(axis=0)].any(axis=1))
