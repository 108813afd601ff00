"""The size of each effect of a blocked factorial, and levels of one axis that change places between two of another.

Letters: L levels of an axis, p columns of the model.
"""

import itertools
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from sweep.stats.design import Model, Term
from sweep.stats.distributions import Floats, spread_quantile, t_quantile
from sweep.stats.intervals import Interval, around


@dataclass(frozen=True, kw_only=True)
class Error:
    """What a term is tested with: a mean square, NaN where there is none, its degrees of freedom, what it misses."""

    variance: float
    df: int
    provisional: str = ""


@dataclass(frozen=True, kw_only=True)
class LevelEffect:
    """Effect of one level, or one combination of levels; its interval is simultaneous over all effects of the term."""

    levels: tuple[Hashable, ...]
    effect: Interval


@dataclass(frozen=True, kw_only=True)
class TermEffects:
    """All effects of one term; they sum to zero.

    `span` is the largest minus the smallest, for main effects only; its interval is simultaneous over all pairs of
    levels of all axes, so choosing the extreme two, or an axis, after looking is paid for. `provisional` says why a
    claim about it cannot carry the level.
    """

    factors: tuple[str, ...]
    levels: tuple[LevelEffect, ...]
    span: Interval | None
    provisional: str


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Two levels of the axis `factor` that change places between two levels of the axis `other`, beyond chance.

    At its level `at` the best one, `better`, leads `worse` by `lead`; at `other_at` `worse` is best, by `other_lead`.
    """

    factor: str
    other: str
    at: Hashable
    other_at: Hashable
    better: Hashable
    worse: Hashable
    lead: float
    other_lead: float


def term_effects(model: Model, term: Term, error: Error, level: float, cannot: str) -> TermEffects:
    """The effects of a term, with its own error."""
    coefficients, unit_covariance = model.fit
    columns, axes = model.columns[term], model.of(term)
    combinations, contrasts = model.combinations(term)
    estimates = contrasts @ coefficients[columns]
    spread = error.variance * (contrasts @ unit_covariance[columns, columns] @ contrasts.T)
    t = math.nan if cannot else -t_quantile((1 - level) / (2 * len(estimates)), error.df)
    halves = t * np.sqrt(np.maximum(np.diag(spread), 0))
    levels = []
    for codes, estimate, half in zip(combinations.T, estimates.tolist(), halves.tolist(), strict=True):
        at = list(zip(axes, codes, strict=True))
        n = int(model.counts[np.logical_and.reduce([each.codes == code for each, code in at])].sum())
        effect = around(estimate, half, level=level, n=n, cannot=cannot)
        levels.append(LevelEffect(levels=tuple(each.levels[code] for each, code in at), effect=effect))
    of_spans = 1 - (1 - level) / len(model.axes)
    return TermEffects(
        factors=tuple(each.name for each in axes),
        levels=tuple(levels),
        span=_span(estimates, spread, error.df, of_spans, len(model.y), cannot) if len(term) == 1 else None,
        provisional="" if cannot else error.provisional,
    )


def _span(estimates: Floats, spread: Floats, df: int, level: float, n: int, cannot: str) -> Interval:
    """Largest minus smallest effect; no lower than 0, for that is what a span is."""
    estimate = float(estimates.max() - estimates.min())
    low = high = math.nan
    if not cannot:
        variances = np.diag(spread)[:, None] + np.diag(spread) - 2 * spread
        q = spread_quantile(level, tied=len(estimates), count=len(estimates), df=df)
        halves = q * np.sqrt(np.maximum(variances, 0) / 2)
        gaps = estimates[:, None] - estimates
        low, high = max(float((gaps - halves).max()), 0.0), float((gaps + halves).max())
    return Interval(estimate=estimate, low=low, high=high, level=level, n=n, cannot=cannot)


def crossings(model: Model, errors: Mapping[Term, Error], level: float) -> tuple[Crossing, ...]:
    """Finds the levels that are best at one level of another axis and beaten at another by the one best there.

    Means are least-squares means, so a missing grid point moves none of them. Both leads must exceed Bonferroni's bound
    for all leads of one level over another at some level of another axis; so the family-wise error is at most
    1 - level. A lead is tested with the residual, or with its own axis x seed error where that asks for more.
    """
    pairs = [order for term in model.columns if len(term) == 2 for order in (term, term[::-1])]
    sizes = [len(each.levels) for each in model.axes]
    leads = sum(sizes[other] * sizes[factor] * (sizes[factor] - 1) for factor, other in pairs)
    coefficients, unit_covariance = model.fit
    found: list[Crossing] = []
    for factor, other in pairs:
        needed = max(
            -t_quantile((1 - level) / leads, error.df) * math.sqrt(error.variance)
            for error in (errors[(factor,)], errors[(min(factor, other), max(factor, other))])
        )
        rows = cells(model, factor, other)
        means = rows @ coefficients
        best = (-means).argmin(axis=0)
        # Which levels lead which others beyond chance, at every level of the other axis.
        covariance = np.einsum("abp,pq,cbq->bac", rows, unit_covariance, rows, optimize=True)
        own = np.diagonal(covariance, axis1=1, axis2=2)
        spread = np.sqrt(np.maximum(own[:, :, None] + own[:, None, :] - 2 * covariance, 0.0))
        leads_of = means.T[:, :, None] - means.T[:, None, :]
        shown = leads_of > needed * spread
        of, along = model.axes[factor], model.axes[other]
        for at, other_at in itertools.combinations(range(sizes[other]), 2):
            better, worse = best[at], best[other_at]
            if better != worse and shown[at, better, worse] and shown[other_at, worse, better]:
                found.append(
                    Crossing(
                        factor=of.name,
                        other=along.name,
                        at=along.levels[at],
                        other_at=along.levels[other_at],
                        better=of.levels[better],
                        worse=of.levels[worse],
                        lead=float(leads_of[at, better, worse]),
                        other_lead=float(leads_of[other_at, worse, better]),
                    )
                )
    return tuple(found)


def cells(model: Model, factor: int, other: int) -> Floats:
    """What each coefficient adds to the mean of a combination of levels, `[levels of factor, of other, p]`."""
    term = (min(factor, other), max(factor, other))
    codes, both = model.combinations(term)
    rows = np.zeros((len(both), model.matrix.shape[1]))
    rows[:, 0] = 1.0
    for number, own in zip(term, codes, strict=True):
        rows[:, model.columns[(number,)]] = model.combinations((number,))[1][own]
    if term in model.columns:
        rows[:, model.columns[term]] = both
    rows = rows.reshape(*(len(each.levels) for each in model.of(term)), -1)
    return rows if term == (factor, other) else np.ascontiguousarray(rows.swapaxes(0, 1))
