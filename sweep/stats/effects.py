"""The size of each effect of a blocked factorial, with simultaneous intervals.

Letters: n rows, L levels of an axis.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.stats.design import Model, Term
from sweep.stats.distributions import t_quantile
from sweep.stats.intervals import Interval
from sweep.stats.spread import spread_quantile


@dataclass(frozen=True, kw_only=True)
class Error:
    """What a term is tested with: a mean square, NaN where there is none, its degrees of freedom, what it misses."""

    variance: float
    df: int
    provisional: str = ""


@dataclass(frozen=True, kw_only=True)
class LevelEffect:
    """Effect of one level (main effect) or one combination of levels (interaction), in the score's unit.

    `effect` has n = the rows at this level; its interval is simultaneous over all effects of the term.
    """

    levels: tuple[object, ...]
    effect: Interval


@dataclass(frozen=True, kw_only=True)
class TermEffects:
    """All effects of one term; they sum to zero.

    `span` is the largest minus the smallest, for main effects only; its interval is simultaneous over all
    pairs of levels of all axes, so choosing the extreme two, or an axis, after looking is paid for. `provisional` says
    why a claim about it cannot carry the level; empty when it can.
    """

    factors: tuple[str, ...]
    levels: tuple[LevelEffect, ...]
    span: Interval | None
    provisional: str


def term_effects(
    model: Model, y: NDArray[np.float64], errors: Mapping[Term, Error], level: float, cannot: str
) -> tuple[float, tuple[TermEffects, ...]]:
    """The grand mean and the effects of every term, each with its own error."""
    coefficients, unit_covariance = least_squares(model, y)
    of_spans = 1 - (1 - level) / len(model.axes)
    effects = []
    for term in model.terms:
        columns, error = model.columns[term], errors[term]
        combinations, contrasts = model.term_contrasts(term)
        estimates = contrasts @ coefficients[columns]
        spread = error.variance * (contrasts @ unit_covariance[columns, columns] @ contrasts.T)
        t = math.nan if cannot else -t_quantile((1 - level) / (2 * len(combinations)), error.df)
        halves = (t * np.sqrt(np.maximum(np.diag(spread), 0))).tolist()
        axes = [model.axes[number] for number in term]
        levels = []
        for codes, estimate, half in zip(combinations, estimates.tolist(), halves, strict=True):
            at_level = [each.codes == code for each, code in zip(axes, codes, strict=True)]
            interval = Interval(
                estimate=estimate,
                low=estimate - half,
                high=estimate + half,
                level=level,
                n=int(np.logical_and.reduce(at_level).sum()),
                cannot=cannot,
            )
            names = tuple(each.levels[code] for each, code in zip(axes, codes, strict=True))
            levels.append(LevelEffect(levels=names, effect=interval))
        span = _span(estimates, spread, error.df, of_spans, len(y), cannot) if len(term) == 1 else None
        effects.append(
            TermEffects(
                factors=model.names(term),
                levels=tuple(levels),
                span=span,
                provisional="" if cannot else error.provisional,
            )
        )
    return float(coefficients[0]), tuple(effects)


def least_squares(model: Model, y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The coefficients, and their covariance for an error variance of 1.

    Source: by QR, as `statsmodels` OLS, whose import alone takes most of a second.
    """
    q, r = model.qr
    return np.asarray(np.linalg.solve(r, q.T @ y)), np.asarray(np.linalg.inv(r.T @ r))


def _span(
    estimates: NDArray[np.float64], spread: NDArray[np.float64], df: int, level: float, n: int, cannot: str
) -> Interval:
    """Largest minus smallest effect; no lower than 0, for that is what a span is."""
    largest, smallest = int(estimates.argmax()), int(estimates.argmin())
    estimate = float(estimates[largest] - estimates[smallest])
    low = high = math.nan
    if not cannot:
        variances = np.diag(spread)[:, None] + np.diag(spread) - 2 * spread
        q = spread_quantile(level, tied=len(estimates), count=len(estimates), df=df)
        halves = q * np.sqrt(np.maximum(variances, 0) / 2)
        gaps = estimates[:, None] - estimates
        low, high = max(float((gaps - halves).max()), 0.0), float((gaps + halves).max())
    return Interval(estimate=estimate, low=low, high=high, level=level, n=n, cannot=cannot)
