"""How much each axis of the grid matters: a seed-blocked factorial analysis of variance.

Axis letters: K configurations, S seeds. The error is always what the spread between seeds leaves within configurations,
never an interaction of axes. What a seed is lucky with may be an axis: models of one depth share their initial weights.
So an axis is tested with its own axis x seed mean square where six degrees of freedom or more can tell it, as the main
plots of a split plot are.
"""

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from sweep.stats.blocks import pure_error
from sweep.stats.design import MOST_COLUMNS, MOST_LEVELS, Axis, Crossing, Error, Model, Term, TermEffects, largest_model
from sweep.stats.distributions import Floats
from sweep.stats.intervals import ROUNDING, check_level

_FEWEST_DF = 6
_UNSEEN = "with so few seeds and levels it cannot be seen whether seeds favour one level of the axis"


@dataclass(frozen=True, kw_only=True)
class AnovaRow:
    """One row of the table of variance: a "factor", "interaction", "block", "other" or "residual".

    `share` is eta squared, of the sum of squares around the mean; `f_value` the mean square over that of its error;
    `p_value` of no effect, by Holm's method for all factors, and for all interactions; NaN without an error.
    """

    name: str
    factors: tuple[str, ...]
    kind: str
    df: int
    sum_sq: float
    share: float
    f_value: float
    p_value: float
    error_df: int


@dataclass(frozen=True, kw_only=True)
class FactorEffects:
    """The analysis of variance of a grid.

    `table` has factors, then interactions, by order, then seed, other interactions and residual, whose mean square is
    `error_variance`; `effects` one entry for each factor and interaction. `cell_means` are least-squares means of each
    two axes of a few levels, by name; `notes` what was done that a reader must know, one sentence each.
    """

    table: tuple[AnovaRow, ...] = ()
    effects: tuple[TermEffects, ...] = ()
    error_variance: float
    df: int
    level: float
    crossings: tuple[Crossing, ...] = ()
    cell_means: Mapping[tuple[str, str], Floats] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...]
    cannot: str


def factor_effects(
    scores: Floats, levels: Sequence[tuple[Hashable, ...]], factors: Sequence[str], level: float = 0.95
) -> FactorEffects:
    """Which axes of a grid matter, and by how much.

    The model is seed + all interactions of the factors, up to the highest order that the scores determine: an empty
    cell of the grid lowers it, and so do more than 400 columns; with more than 2,000 levels there is no model. Effects
    are least-squares means minus their mean; their intervals are Bonferroni's within the term, those of spans Tukey and
    Kramer's, at Bonferroni's level for all axes. Assumes errors of one variance, near enough to normal, independent but
    for what an axis shares with a seed.

    Args:
        scores: `[K, S]`, NaN where one is missing.
        levels: Of each configuration, one for each factor; results carry these objects, in order of first appearance.
        factors: Their names.
        level: Of each family of intervals.

    Source: Montgomery (2017), section 5.6, blocking in a factorial design, and 14.4, split plots; Kramer (1956).
    """
    check_level(level)
    values = _checked(scores, levels, factors)
    there = np.isfinite(values)
    y, used = values[there], np.flatnonzero(there.any(axis=1))
    # Centred first, or a large common offset would cost the digits in which the scores differ.
    size, offset = (float(np.abs(y).max()), float(y.mean())) if len(y) else (0.0, 0.0)
    table = np.where(there, values - offset, math.nan)[np.ix_(used, there.any(axis=0))]
    axes = [Axis.of(name, [levels[k][i] for k in used.tolist()]) for i, name in enumerate(factors)]
    varied = [each for each in axes if len(each.levels) > 1]
    model = largest_model(table, varied)
    error_ss, df = pure_error(table, np.zeros(len(used), dtype=np.intp))
    cannot = _why_not(table, varied, model, df)
    if not cannot and error_ss <= len(y) * (ROUNDING * size) ** 2:
        cannot = "no spread left beyond configuration and seed: effects cannot be tested"
    residual = Error(variance=math.nan if cannot else error_ss / df, df=df)
    found = FactorEffects(
        error_variance=residual.variance,
        df=df,
        level=level,
        notes=tuple(_notes(table, axes, model, values.size - len(y))),
        cannot=cannot,
    )
    if not model:
        return found
    errors = _errors(model, table, residual, error_ss)
    pairs = itertools.combinations(range(len(varied)), 2)
    few = [pair for pair in pairs if math.prod(len(varied[number].levels) for number in pair) <= MOST_COLUMNS]
    return dataclasses.replace(
        found,
        table=_table(model, error_ss, residual, errors),
        effects=tuple(model.effects(term, errors[term], level, cannot) for term in model.columns),
        crossings=() if cannot else tuple(model.crossings(errors, level)),
        cell_means={(varied[i].name, varied[j].name): offset + model.cells(i, j) @ model.fit[0] for i, j in few},
    )


def _checked(scores: Floats, levels: Sequence[tuple[Hashable, ...]], factors: Sequence[str]) -> Floats:
    if not factors or len({"seed", *factors}) <= len(factors):
        raise ValueError(f"factors {list(factors)}: give distinct names, and not 'seed'")
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or len(levels) != len(values) or any(len(each) != len(factors) for each in levels):
        raise ValueError(f"scores has shape {values.shape}; give [configurations, seeds], and levels of each factor")
    if twice := [each for each, n in Counter(levels).items() if n > 1]:
        raise ValueError(f"two configurations with the levels {twice[0]}; give each combination once")
    return values


def _why_not(table: Floats, varied: Sequence[Axis], model: Model | None, df: int) -> str:
    """What the scores do not suffice for; "" if they do."""
    if not len(table):
        return "no row has a score"
    if not varied:
        return "every factor has one level: there is no effect to show"
    if sum(len(each.levels) for each in varied) > MOST_LEVELS:
        return f"the axes have more than {MOST_LEVELS:,} levels, too many for an effect of each"
    if model is None:
        return "too few grid points, or too few seeds in common, to separate the factors from each other"
    if table.shape[1] < 2:
        return "one seed: effects are plain differences, their uncertainty is unknown"
    return "" if df else "no two configurations share two seeds: the uncertainty of the effects is unknown"


def _errors(model: Model, table: Floats, residual: Error, error_ss: float) -> dict[Term, Error]:
    """What each term is tested with."""
    errors = dict.fromkeys(model.columns, residual)
    for number, each in enumerate(model.axes if math.isfinite(residual.variance) else ()):
        rest_ss, rest_df = pure_error(table, each.codes)
        own_df = residual.df - rest_df
        if own_df >= _FEWEST_DF:
            errors[(number,)] = Error(variance=max(error_ss - rest_ss, 0.0) / own_df, df=own_df)
        elif len(model.axes) > 1:  # one axis alone has no other error than the residual, which is its own
            errors[(number,)] = dataclasses.replace(residual, provisional=_UNSEEN)
    return errors


def _table(model: Model, error_ss: float, residual: Error, errors: Mapping[Term, Error]) -> tuple[AnovaRow, ...]:
    total = float(((model.y - model.y.mean()) ** 2).sum())

    def row(kind: str, name: str, df: int, sum_sq: float, error: Error, factors: tuple[str, ...] = ()) -> AnovaRow:
        sum_sq = max(sum_sq, 0.0)
        f_value = sum_sq / df / error.variance if error.variance > 0 else math.nan
        return AnovaRow(
            name=name,
            factors=factors,
            kind=kind,
            df=df,
            sum_sq=sum_sq,
            share=sum_sq / total if total > 0 else math.nan,
            f_value=f_value,
            p_value=float(special.fdtrc(df, error.df, f_value)),
            error_df=error.df,
        )

    rows: list[AnovaRow] = []
    for kind in ("factor", "interaction"):
        family = []
        for term in (term for term in model.columns if (len(term) == 1) == (kind == "factor")):
            names, columns = tuple(each.name for each in model.of(term)), model.columns[term]
            df, sum_sq = columns.stop - columns.start, model.sum_of_squares(term)
            family.append(row(kind, " × ".join(names), df, sum_sq, errors[term], names))
        p_values = holm([each.p_value for each in family]).tolist()
        rows += [dataclasses.replace(each, p_value=p) for each, p in zip(family, p_values, strict=True)]
    left = model.unexplained(model.columns)
    if model.seeds > 1:
        of_seeds = model.unexplained(model.columns, with_seeds=False) - left
        rows.append(row("block", "seed", model.seeds - 1, float(of_seeds @ of_seeds), residual))
    if other_df := len(model.y) - model.matrix.shape[1] - residual.df:
        rows.append(row("other", "other interactions", other_df, float(left @ left) - error_ss, residual))
    none = Error(variance=math.nan, df=0)
    return (*rows, row("residual", "residual", residual.df, error_ss if residual.df else 0.0, none))


def _notes(table: Floats, axes: Sequence[Axis], model: Model | None, n_missing: int) -> list[str]:
    notes = [f"{each.name} has one level and no effect to show" for each in axes if len(each.levels) == 1]
    n = int(np.isfinite(table).sum())
    if n_missing:
        notes.append(f"{n_missing} of {n + n_missing} rows have no score and are left out")
    if model is None:
        return notes
    grid = math.prod(len(each.levels) for each in axes)
    if len(table) < grid:
        notes.append(f"{grid - len(table)} of {grid} grid points have no score")
    if n < table.size:
        notes.append("scores are missing: sums of squares are of type II and do not add up to the total")
    if (order := max(map(len, model.columns))) < len(model.axes):
        notes.append(f"interactions of more than {order} factors are not separated from each other")
    return notes


def holm(p_values: ArrayLike) -> Floats:
    """Adjusted p-values in the order given; a missing one (NaN) stays missing and does not count towards the family.

    Source: Holm (1979), as in `statsmodels.stats.multitest.multipletests`.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[: np.isfinite(p).sum()]
    adjusted = np.full(p.shape, math.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted
