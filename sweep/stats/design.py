"""The linear model of a blocked factorial: its terms and sums of squares, the effects of levels, and which cross.

Letters: K configurations, S seeds (blocks), n scores, p columns of the matrix. A term is a tuple of axes by number:
(0,) a main effect, (0, 2) an interaction. Levels are coded to sum to zero, so coefficients of a term are distances from
the mean over its levels.
"""

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sweep.stats.distributions import Floats, spread_quantile, t_quantile
from sweep.stats.intervals import Interval

MOST_COLUMNS = 400
"""Interactions beyond this many columns are pooled: a thousand grid points must not take minutes."""
MOST_LEVELS = 2000
"""Of all axes together: main effects of more would take minutes, and be read by nobody."""

Term = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """An axis of the grid: its levels in order of appearance, and the level of each configuration `[K]` by number."""

    name: str
    levels: tuple[Hashable, ...]
    codes: NDArray[np.intp]

    @classmethod
    def of(cls, name: str, values: Sequence[Hashable]) -> "Axis":
        """The axis on which configurations have these levels."""
        numbers = {level: number for number, level in enumerate(dict.fromkeys(values))}
        codes = np.array([numbers[value] for value in values], dtype=np.intp)
        return cls(name=name, levels=tuple(numbers), codes=codes)


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

    `span` is the largest minus the smallest, for main effects only; its interval holds for all pairs of levels of all
    axes at once. `provisional` says why a claim about it cannot carry the level.
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Mean, seeds and terms for the scores `y` `[n]`, with the columns of `matrix` `[n, p]` that belong to each term.

    The first column is the mean's, those up to the number of seeds are theirs. `counts` are scores per configuration.
    """

    y: Floats
    counts: NDArray[np.intp]
    seeds: int
    axes: tuple[Axis, ...]
    columns: dict[Term, slice]
    matrix: Floats

    @cached_property
    def gram(self) -> Floats:
        """Products of all columns with each other, `[p, p]`."""
        return np.asarray(self.matrix.T @ self.matrix)

    @cached_property
    def fit(self) -> tuple[Floats, Floats]:
        """The coefficients by least squares `[p]`, and their covariance for an error variance of 1."""
        q, r = np.linalg.qr(self.matrix)
        return np.asarray(np.linalg.solve(r, q.T @ self.y)), np.asarray(np.linalg.inv(r.T @ r))

    def of(self, term: Term) -> list[Axis]:
        """The axes of a term."""
        return [self.axes[number] for number in term]

    def combinations(self, term: Term) -> tuple[NDArray[np.intp], Floats]:
        """All combinations of a term's levels, by number `[axes, combinations]`, and their columns of the matrix."""
        sizes = [len(each.levels) for each in self.of(term)]
        codes = np.indices(sizes).reshape(len(term), -1)
        return codes, _coded(sizes, codes)

    def unexplained(self, terms: Iterable[Term], with_seeds: bool = True) -> Floats:
        """What mean, seeds and these terms leave unexplained of each score, `[n]`."""
        picked = [*range(self.seeds if with_seeds else 1)]
        for term in terms:
            picked += range(self.columns[term].start, self.columns[term].stop)
        # Normal equations: the codes are close to orthogonal, and a fit per term would take a large grid minutes.
        matrix, gram = self.matrix[:, picked], self.gram[np.ix_(picked, picked)]
        return np.asarray(self.y - matrix @ np.linalg.solve(gram, matrix.T @ self.y))

    def sum_of_squares(self, term: Term) -> float:
        """Of a term given the seeds and all terms that do not contain it: type II, as statsmodels' `anova_lm`."""
        others = [other for other in self.columns if not set(term) <= set(other)]
        # A difference of fits, not of their sums of squares: in these a strong axis takes the digits of a weak one.
        explained = self.unexplained(others) - self.unexplained([*others, term])
        return float(explained @ explained)

    def effects(self, term: Term, error: Error, level: float, cannot: str) -> TermEffects:
        """The effects of a term, with its own error."""
        coefficients, unit_covariance = self.fit
        columns, axes = self.columns[term], self.of(term)
        combinations, contrasts = self.combinations(term)
        estimates = contrasts @ coefficients[columns]
        spread = error.variance * (contrasts @ unit_covariance[columns, columns] @ contrasts.T)
        t = math.nan if cannot else -t_quantile((1 - level) / (2 * len(estimates)), error.df)
        halves = t * np.sqrt(np.maximum(np.diag(spread), 0))
        levels = []
        for codes, estimate, half in zip(combinations.T, estimates.tolist(), halves.tolist(), strict=True):
            at = list(zip(axes, codes, strict=True))
            n = int(self.counts[np.logical_and.reduce([each.codes == code for each, code in at])].sum())
            low, high = estimate - half, estimate + half
            effect = Interval(estimate=estimate, low=low, high=high, level=level, n=n, cannot=cannot)
            levels.append(LevelEffect(levels=tuple(each.levels[code] for each, code in at), effect=effect))
        span = None
        if len(term) == 1:
            of_spans, k = 1 - (1 - level) / len(self.axes), len(estimates)
            q = math.nan if cannot else spread_quantile(of_spans, tied=k, count=k, df=error.df)
            variances = np.diag(spread)[:, None] + np.diag(spread) - 2 * spread
            halves, gaps = q * np.sqrt(np.maximum(variances, 0) / 2), estimates[:, None] - estimates
            low, high = max(float((gaps - halves).max()), 0.0), float((gaps + halves).max())  # a span is 0 or more
            widest, n = float(gaps.max()), len(self.y)
            span = Interval(estimate=widest, low=low, high=high, level=of_spans, n=n, cannot=cannot)
        names, provisional = tuple(each.name for each in axes), "" if cannot else error.provisional
        return TermEffects(factors=names, levels=tuple(levels), span=span, provisional=provisional)

    def crossings(self, errors: Mapping[Term, Error], level: float) -> Iterator[Crossing]:
        """Finds the levels that are best at one level of another axis and beaten at another by the one best there.

        Both leads must exceed Bonferroni's bound for all leads of one level over another at some level of another axis;
        each is tested with the residual, or its own axis x seed error where that asks for more.
        """
        pairs = [order for term in self.columns if len(term) == 2 for order in (term, term[::-1])]
        sizes = [len(each.levels) for each in self.axes]
        leads = sum(sizes[other] * sizes[factor] * (sizes[factor] - 1) for factor, other in pairs)
        coefficients, unit_covariance = self.fit
        for factor, other in pairs:
            needed = max(
                -t_quantile((1 - level) / leads, error.df) * math.sqrt(error.variance)
                for error in (errors[(factor,)], errors[(min(factor, other), max(factor, other))])
            )
            rows = self.cells(factor, other)
            means = rows @ coefficients
            best = (-means).argmin(axis=0)
            # Which levels lead which others beyond chance, at every level of the other axis.
            covariance = np.einsum("abp,pq,cbq->bac", rows, unit_covariance, rows, optimize=True)
            own = np.diagonal(covariance, axis1=1, axis2=2)
            spread = np.sqrt(np.maximum(own[:, :, None] + own[:, None, :] - 2 * covariance, 0.0))
            leads_of = means.T[:, :, None] - means.T[:, None, :]
            shown = leads_of > needed * spread
            of, along = self.axes[factor], self.axes[other]
            for at, other_at in itertools.combinations(range(sizes[other]), 2):
                better, worse = best[at], best[other_at]
                if better != worse and shown[at, better, worse] and shown[other_at, worse, better]:
                    yield Crossing(
                        factor=of.name,
                        other=along.name,
                        at=along.levels[at],
                        other_at=along.levels[other_at],
                        better=of.levels[better],
                        worse=of.levels[worse],
                        lead=float(leads_of[at, better, worse]),
                        other_lead=float(leads_of[other_at, worse, better]),
                    )

    def cells(self, factor: int, other: int) -> Floats:
        """What each coefficient adds to the mean of a combination of levels, `[levels of factor, of other, p]`."""
        term = (min(factor, other), max(factor, other))
        codes, both = self.combinations(term)
        rows = np.zeros((len(both), self.matrix.shape[1]))
        rows[:, 0] = 1.0
        for number, own in zip(term, codes, strict=True):
            rows[:, self.columns[(number,)]] = self.combinations((number,))[1][own]
        if term in self.columns:
            rows[:, self.columns[term]] = both
        rows = rows.reshape(*(len(each.levels) for each in self.of(term)), -1)
        return rows if term == (factor, other) else np.ascontiguousarray(rows.swapaxes(0, 1))


def largest_model(table: Floats, axes: Sequence[Axis]) -> Model | None:
    """The model with interactions up to the highest order that the scores `[K, S]` allow; None if not even order 1."""
    there = np.isfinite(table)
    y, counts, seeds, sizes = table[there], there.sum(axis=1), table.shape[1], [len(each.levels) for each in axes]
    if not sizes or sum(sizes) > MOST_LEVELS:
        return None
    of_seeds = _coded([seeds], [np.nonzero(there)[1]])
    for order in range(len(axes), 0, -1):
        terms = [t for size in range(1, order + 1) for t in itertools.combinations(range(len(axes)), size)]
        widths = [int(np.prod([sizes[number] - 1 for number in term])) for term in terms]
        *starts, width = itertools.accumulate(widths, initial=seeds)
        if width > len(y) or (width > MOST_COLUMNS and order > 1):
            continue
        parts = [_coded([sizes[i] for i in term], [np.repeat(axes[i].codes, counts) for i in term]) for term in terms]
        model = Model(
            y=y,
            counts=counts,
            seeds=seeds,
            axes=tuple(axes),
            columns={term: slice(at, at + wide) for term, at, wide in zip(terms, starts, widths, strict=True)},
            matrix=np.hstack([np.ones((len(y), 1)), of_seeds, *parts]),
        )
        if np.linalg.matrix_rank(model.gram, hermitian=True) == width:
            return model
    return None


def _coded(sizes: Iterable[int], codes: Iterable[NDArray[np.intp]]) -> Floats:
    """Products of the contrasts of axes of so many levels, row by row; those of an axis sum to zero over its levels."""
    columns, *others = (
        np.vstack([np.eye(size - 1), np.full((1, size - 1), -1.0)])[code]
        for size, code in zip(sizes, codes, strict=True)
    )
    for other in others:
        columns = (columns[:, :, None] * other[:, None, :]).reshape(len(columns), -1)
    return columns
