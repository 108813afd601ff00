"""Levels of one axis that change places between two levels of another.

Letters: L levels of an axis.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.stats.design import Model, Term
from sweep.stats.distributions import t_quantile
from sweep.stats.effects import Error, least_squares


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Two levels of one axis that change places between two levels of another, both ways beyond chance.

    Attributes:
        factor: the axis whose best level depends on the other.
        other: the axis it depends on.
        at: level of `other` at which `better` leads `worse`.
        other_at: level of `other` at which it is the other way round.
        better: level of `factor`, the best one at `at`.
        worse: level of `factor`, the best one at `other_at`.
        lead: difference of their means at `at`.
        other_lead: difference of their means at `other_at`, the other way round.
    """

    factor: str
    other: str
    at: object
    other_at: object
    better: object
    worse: object
    lead: float
    other_lead: float


def crossings(model: Model, y: NDArray[np.float64], errors: Mapping[Term, Error], level: float) -> tuple[Crossing, ...]:
    """Finds the levels that are best at one level of another axis and beaten at another by the one best there.

    Means are least-squares means, so a missing grid point moves none of them. Both leads must exceed Bonferroni's bound
    for all leads of one level over another at some level of another axis; so the family-wise error is at most
    1 - level. A lead is tested with the residual, or with its own axis x seed error where that asks for more.
    """
    pairs = [order for term in model.terms if len(term) == 2 for order in (term, term[::-1])]
    sizes = [len(each.levels) for each in model.axes]
    leads = sum(sizes[other] * sizes[factor] * (sizes[factor] - 1) for factor, other in pairs)
    coefficients, unit_covariance = least_squares(model, y)
    found: list[Crossing] = []
    for factor, other in pairs:
        term = (min(factor, other), max(factor, other))
        rows = _cells(model, factor, other)
        needed = max(
            -t_quantile((1 - level) / leads, error.df) * math.sqrt(error.variance)
            for error in (errors[(factor,)], errors[term])
        )
        means = rows @ coefficients
        best = means.argmax(axis=0)
        # Which levels lead which others beyond chance, at every level of the other axis.
        covariance = np.einsum("abp,pq,cbq->bac", rows, unit_covariance, rows, optimize=True)
        own = np.diagonal(covariance, axis1=1, axis2=2)
        spread = np.sqrt(np.maximum(own[:, :, None] + own[:, None, :] - 2 * covariance, 0.0))
        leads_of = means.T[:, :, None] - means.T[:, None, :]
        shown = leads_of > needed * spread
        for at, other_at in itertools.combinations(range(sizes[other]), 2):
            better, worse = best[at], best[other_at]
            if better != worse and shown[at, better, worse] and shown[other_at, worse, better]:
                found.append(
                    Crossing(
                        factor=model.axes[factor].name,
                        other=model.axes[other].name,
                        at=model.axes[other].levels[at],
                        other_at=model.axes[other].levels[other_at],
                        better=model.axes[factor].levels[better],
                        worse=model.axes[factor].levels[worse],
                        lead=float(leads_of[at, better, worse]),
                        other_lead=float(leads_of[other_at, worse, better]),
                    )
                )
    return tuple(found)


def cell_means(model: Model, y: NDArray[np.float64], factor: int, other: int) -> NDArray[np.float64]:
    """Least-squares means at every combination of two axes, `[levels of factor, levels of other]`."""
    means: NDArray[np.float64] = _cells(model, factor, other) @ least_squares(model, y)[0]
    return means


def _cells(model: Model, factor: int, other: int) -> NDArray[np.float64]:
    """What each coefficient adds to the mean of a combination of levels, `[levels of factor, of other, p]`."""
    shape = (len(model.axes[factor].levels), len(model.axes[other].levels))
    rows = np.zeros((*shape, model.matrix.shape[1]))
    rows[..., 0] = 1.0
    rows[..., model.columns[(factor,)]] = model.axes[factor].contrasts()[:, None, :]
    rows[..., model.columns[(other,)]] = model.axes[other].contrasts()[None, :, :]
    term = (min(factor, other), max(factor, other))
    if term in model.columns:
        codes = model.term_contrasts(term)[1].reshape(*(shape if term == (factor, other) else shape[::-1]), -1)
        rows[..., model.columns[term]] = codes if term == (factor, other) else codes.swapaxes(0, 1)
    return rows
