"""The linear model of a blocked factorial: its axes, terms, matrix and sums of squares.

Letters: n rows, L levels of an axis, p columns of the matrix, S seeds (blocks). A term is a tuple of axes by
number: (0,) a main effect, (0, 2) an interaction. Levels are coded to sum to zero, so coefficients of a term
are distances from the mean over its levels.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST_COLUMNS = 400
"""Interactions beyond this many columns are pooled: a thousand grid points must not take minutes."""
MOST_LEVELS = 2000
"""Of all axes together: main effects of more would take minutes, and be read by nobody."""

Term = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """A column of the frame: its levels in order of appearance, and the level of each row `[n]` by number."""

    name: str
    levels: tuple[object, ...]
    codes: NDArray[np.intp]

    def contrasts(self) -> NDArray[np.float64]:
        """Codes of the levels, `[L, L - 1]`, each column summing to zero."""
        free = len(self.levels) - 1
        return np.vstack([np.eye(free), np.full((1, free), -1.0)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Mean, seeds and terms, with the columns of `matrix` `[n, p]` that belong to each."""

    axes: tuple[Axis, ...]
    terms: tuple[Term, ...]
    matrix: NDArray[np.float64]
    columns: dict[Term, slice]
    seed_columns: slice

    @functools.cached_property
    def gram(self) -> NDArray[np.float64]:
        """Products of all columns with each other, `[p, p]`."""
        products: NDArray[np.float64] = self.matrix.T @ self.matrix
        return products

    @functools.cached_property
    def qr(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The matrix as the product of an orthonormal `[n, p]` and a triangular one `[p, p]`."""
        q, r = np.linalg.qr(self.matrix)
        return q, r

    def names(self, term: Term) -> tuple[str, ...]:
        """The names of the term's axes."""
        return tuple(self.axes[number].name for number in term)

    def term_contrasts(self, term: Term) -> tuple[list[tuple[int, ...]], NDArray[np.float64]]:
        """All combinations of the term's levels, by number, and their codes `[combinations, columns]`."""
        combinations = list(itertools.product(*(range(len(self.axes[number].levels)) for number in term)))
        codes = np.array(combinations, dtype=np.intp)
        return combinations, _coded([self.axes[number] for number in term], list(codes.T))


def axis(name: str, column: "pd.Series[Any]") -> Axis:
    """The axis in a column of any type."""
    codes, levels = pd.factorize(column, use_na_sentinel=False)
    return Axis(name=name, levels=tuple(levels), codes=np.asarray(codes, dtype=np.intp))


def cell_numbers(axes: Sequence[Axis]) -> NDArray[np.intp]:
    """For each row the number of its grid point, `[n]`."""
    table = np.stack([each.codes for each in axes], axis=1)
    return np.asarray(np.unique(table, axis=0, return_inverse=True)[1], dtype=np.intp).reshape(len(table))


def largest_model(axes: Sequence[Axis], seeds: Axis) -> Model | None:
    """The model with all interactions up to the highest order the rows allow; None if not even order 1."""
    if sum(len(each.levels) for each in axes) > MOST_LEVELS:
        return None
    for order in range(len(axes), 0, -1):
        terms = [t for size in range(1, order + 1) for t in itertools.combinations(range(len(axes)), size)]
        widths = [int(np.prod([len(axes[number].levels) - 1 for number in term])) for term in terms]
        width = len(seeds.levels) + sum(widths)
        if width > len(seeds.codes) or (width > MOST_COLUMNS and order > 1):
            continue
        parts = [np.ones((len(seeds.codes), 1)), _coded([seeds], [seeds.codes])]
        parts += [_coded([axes[i] for i in term], [axes[i].codes for i in term]) for term in terms]
        ends = np.cumsum([len(seeds.levels), *widths])
        columns = {term: slice(int(ends[i]), int(ends[i + 1])) for i, term in enumerate(terms)}
        model = Model(
            axes=tuple(axes),
            terms=tuple(terms),
            matrix=np.hstack(parts),
            columns=columns,
            seed_columns=slice(1, len(seeds.levels)),
        )
        if np.linalg.matrix_rank(model.gram, hermitian=True) == width:
            return model
    return None


def type_two(model: Model, y: NDArray[np.float64]) -> dict[Term, float]:
    """Sum of squares of each term given the seeds and all terms that do not contain it.

    Source: type II as in `statsmodels.stats.anova.anova_lm`.
    """
    sums = {}
    for term in model.terms:
        others = [other for other in model.terms if not set(term) <= set(other)]
        # A difference of fits, not of their sums of squares: in these a strong axis takes the digits of a weak one.
        explained = unexplained(model, y, others) - unexplained(model, y, [*others, term])
        sums[term] = float(explained @ explained)
    return sums


def unexplained(
    model: Model,
    y: NDArray[np.float64],
    terms: Sequence[Term],
    with_seeds: bool = True,
) -> NDArray[np.float64]:
    """What mean, seeds and these terms leave unexplained of each row, `[n]`."""
    picked = [0]
    for columns in [*([model.seed_columns] if with_seeds else []), *(model.columns[term] for term in terms)]:
        picked += range(columns.start, columns.stop)
    # Normal equations: the codes are close to orthogonal, and a fit per term would take a large grid minutes.
    matrix, gram = model.matrix[:, picked], model.gram[np.ix_(picked, picked)]
    return np.asarray(y - matrix @ np.linalg.solve(gram, matrix.T @ y))


def pure_error(
    y: NDArray[np.float64], cells: NDArray[np.intp], seeds: Axis, within: Axis | None = None
) -> tuple[float, int]:
    """Sum of squares and degrees of freedom that one mean per grid point and one per seed leave.

    With `within`, every level of that axis has seed effects of its own. Grid points are swept out by centring within
    each (Frisch, Waugh and Lovell), which leaves a regression on the seeds alone however many grid points there are.
    """
    codes, count = seeds.codes, len(seeds.levels)
    if within:
        codes, count = within.codes * count + codes, len(within.levels) * count
    indicators = np.eye(count)[codes]
    sizes = np.bincount(cells)[:, None]

    def centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.zeros((len(sizes), values.shape[1]))
        np.add.at(sums, cells, values)
        return values - (sums / sizes)[cells]

    regressors, target = centred(indicators), centred(y[:, None])
    solution, _, rank, _ = np.linalg.lstsq(regressors, target, rcond=1e-10)
    left = target - regressors @ solution
    return float((left**2).sum()), len(y) - len(sizes) - int(rank)


def _coded(axes: Sequence[Axis], codes: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
    """Products of the axes' contrasts, row by row."""
    columns = axes[0].contrasts()[codes[0]]
    for each, code in zip(axes[1:], codes[1:], strict=True):
        columns = (columns[:, :, None] * each.contrasts()[code][:, None, :]).reshape(len(code), -1)
    return columns
