"""Configurations compared within seeds: score = configuration + seed + error.

Axis letters: K configurations, S seeds. A seed fixes initial weights and shuffles for every configuration, so what is
lucky for all of them is the seed's and leaves the error. Every score there is takes part.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sweep.stats.distributions import Floats
from sweep.stats.intervals import ROUNDING, counted


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockedFit:
    """The model fitted by least squares to the configurations that can be compared.

    Attributes:
        configurations: indices of the K configurations used; arrays are of these alone.
        left_out: indices of those without a score, or whose seeds no other one has.
        table: scores `[K, S]`, NaN where missing.
        means: over all the seeds used; what a missing seed would have added is estimated.
        errors: residuals `[K, S]`, NaN where missing.
        error_variance: mean square of the error; NaN when there is none to estimate.
        df: its degrees of freedom, (K - 1)(S - 1) where nothing is missing.
        variances: of the difference of each two means, per error variance, `[K, K]`.
    """

    configurations: NDArray[np.intp]
    left_out: NDArray[np.intp]
    table: Floats
    means: Floats
    errors: Floats
    error_variance: float
    df: int
    variances: Floats
    cannot: str

    @property
    def means_of_all(self) -> Floats:
        """The means of all configurations that were given, NaN for those left out."""
        means = np.full(len(self.configurations) + len(self.left_out), math.nan)
        means[self.configurations] = self.means
        return means

    @cached_property
    def standard_errors(self) -> Floats:
        """Of the difference of each two means, `[K, K]`; NaN when there is no error to estimate. See `blocked_fit`."""
        if self.cannot:
            return np.full_like(self.variances, math.nan)
        there, own = np.isfinite(self.table), np.zeros_like(self.variances)
        filled = np.where(there, self.table - np.nanmean(self.table), 0.0)
        for row in range(len(filled)):
            both = there & there[row]
            count = both.sum(axis=1)
            differences = np.where(both, filled - filled[row], 0.0)
            mean = differences.sum(axis=1) / np.maximum(count, 1)
            squares = (np.where(both, differences - mean[:, None], 0.0) ** 2).sum(axis=1)
            own[row] = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
        return np.maximum(np.sqrt(self.error_variance * self.variances), own)


def blocked_fit(scores: Floats) -> BlockedFit:
    """Fits configuration + seed + error to the scores `[K, S]`.

    The standard error of a difference is the larger of two: from the error variance of all, and from the paired
    differences of the two alone. So a pair that varies more than the others is not judged by theirs, and one that by
    luck varies less is. Configurations without any spread of their own do not lower the common error.

    Source: Fisher's randomised blocks, as Montgomery (2017), section 4.1; where values are missing the intra-block
    analysis of Yates (1940). That the larger error keeps 5 % is simulated: `tests/test_stats_comparisons.py`.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores has shape {scores.shape}; give [configurations, seeds]")
    values = np.asarray(scores, dtype=np.float64)
    nothing = np.arange(0), np.arange(0)
    used, seeds = max(_parts(np.isfinite(values)), key=lambda part: len(part[0]), default=nothing)
    table = np.where(np.isfinite(values), values, math.nan)[np.ix_(used, seeds)]
    k, s = table.shape
    means, errors, variances = _least_squares(table)
    spread = np.nanmax(table, axis=1, initial=-math.inf) - np.nanmin(table, axis=1, initial=math.inf)
    varying = np.flatnonzero(spread > ROUNDING * np.nanmax(np.abs(table), axis=1, initial=0.0))
    varying = varying if len(varying) > 1 else np.arange(k)
    df = int(np.isfinite(table[varying]).sum()) - len(varying) - s + 1
    cannot, error_variance = "", math.nan
    if k == 0:
        cannot = "no configuration has a score"
    elif k == 1:
        cannot = "one configuration: there is nothing to compare it with"
    elif s < 2:
        cannot = f"{counted(s, 'common seed')}: the spread between seeds is unknown"
    elif df < 1 or np.nanmax(np.abs(errors)) <= ROUNDING * np.nanmax(np.abs(table)):
        cannot = "no spread left beyond configuration and seed: differences cannot be tested"
    else:
        left = errors if len(varying) == k else _least_squares(table[varying])[1]
        error_variance = float(np.nansum(left**2)) / df
    return BlockedFit(
        configurations=used,
        left_out=np.setdiff1d(np.arange(len(values)), used),
        table=table,
        means=means,
        errors=errors,
        error_variance=error_variance,
        df=max(df, 0),
        variances=variances,
        cannot=cannot,
    )


def pure_error(table: Floats, groups: NDArray[np.intp]) -> tuple[float, int]:
    """Sum of squares and degrees of freedom that one mean per configuration and one per seed leave of scores `[K, S]`.

    Each group of configurations, numbered in `[K]`, has seed effects of its own.
    """
    sum_sq, df = 0.0, 0
    for group in np.unique(groups):
        members = table[groups == group]
        for used, seeds in _parts(np.isfinite(members)):
            part = members[np.ix_(used, seeds)]
            sum_sq += float(np.nansum(_least_squares(part)[1] ** 2))
            df += int(np.isfinite(part).sum()) - len(used) - len(seeds) + 1
    return sum_sq, df


def uneven_p_value(errors: Floats) -> float:
    """p-value of "all configurations vary alike between seeds", from residuals `[K, S]`, NaN where one is missing.

    NaN below three configurations with two residuals each. Scores that are not normal lower it too.

    Source: Bartlett (1937), as in `scipy.stats.bartlett`; residuals of a block are slightly correlated, which makes it
    cautious (simulated size 2 to 5 % at 5 %).
    """
    df = np.isfinite(errors).sum(axis=1) - 1
    enough = df > 0
    k, df = int(enough.sum()), df[enough].astype(np.float64)
    if k < 3:
        return math.nan
    variances = np.nansum(errors[enough] ** 2, axis=1) / df
    if variances.min() <= 1e-20 * variances.max():
        return 0.0
    total = df.sum()
    statistic = total * math.log(float(df @ variances) / total) - float(df @ np.log(variances))
    correction = 1 + (float((1 / df).sum()) - 1 / total) / (3 * (k - 1))
    return float(special.chdtrc(k - 1, statistic / correction))


def _least_squares(table: Floats) -> tuple[Floats, Floats, Floats]:
    """The means `[K]`, the residuals `[K, S]`, and the variances of differences of means, per error variance."""
    # Configurations are eliminated first, which leaves one equation per seed however many configurations there are.
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


def _parts(there: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """The configurations and seeds of every part in which each can be compared with each, by way of others."""
    left = there.any(axis=1)
    while left.any():
        part = np.arange(len(there)) == np.flatnonzero(left)[0]
        # Grown by those that share a seed with one of them, until there are no more.
        while (grown := there[:, there[part].any(axis=0)].any(axis=1)).sum() > part.sum():
            part = grown
        left &= ~part
        yield np.flatnonzero(part), np.flatnonzero(there[part].any(axis=0))
