"""The linear model of a blocked factorial: its axes, terms, matrix and sums of squares.

Letters: K configurations, S seeds (blocks), n scores, p columns of the matrix. A term is a tuple of axes by number:
(0,) a main effect, (0, 2) an interaction. Levels are coded to sum to zero, so coefficients of a term are distances from
the mean over its levels.
"""

import itertools
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sweep.stats.distributions import Floats

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

    @property
    def order(self) -> int:
        """The highest order of interaction."""
        return max(map(len, self.columns))

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
        """Of a term given the seeds and all terms that do not contain it.

        Source: type II as in `statsmodels.stats.anova.anova_lm`.
        """
        others = [other for other in self.columns if not set(term) <= set(other)]
        # A difference of fits, not of their sums of squares: in these a strong axis takes the digits of a weak one.
        explained = self.unexplained(others) - self.unexplained([*others, term])
        return float(explained @ explained)


def axis(name: str, values: Sequence[Hashable]) -> Axis:
    """The axis on which configurations have these levels."""
    numbers = {level: number for number, level in enumerate(dict.fromkeys(values))}
    return Axis(name=name, levels=tuple(numbers), codes=np.array([numbers[value] for value in values], dtype=np.intp))


def largest_model(table: Floats, axes: Sequence[Axis]) -> Model | None:
    """The model with interactions up to the highest order that the scores `[K, S]` allow; None if not even order 1."""
    there = np.isfinite(table)
    y, counts, seeds, sizes = table[there], there.sum(axis=1), table.shape[1], [len(each.levels) for each in axes]
    if sum(sizes) > MOST_LEVELS:
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
