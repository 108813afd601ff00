"""How much each axis of the grid matters: a seed-blocked factorial analysis of variance.

Letters: n rows (one per configuration and seed), L levels of an axis, p columns of a model matrix. Levels are
coded to sum to zero, so a main effect is the distance of a level from the mean of all levels, whatever the
others. The error is always what the spread between seeds leaves within configurations, never an interaction of axes.

What a seed is lucky with may be an axis: models of one depth share their initial weights. So an axis is tested with its
own axis x seed mean square where six degrees of freedom or more can tell it, as the main plots of a split plot are.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweep.stats.crossings import Crossing, cell_means, crossings
from sweep.stats.design import (
    MOST_COLUMNS,
    MOST_LEVELS,
    Axis,
    Model,
    Term,
    axis,
    cell_numbers,
    largest_model,
    pure_error,
    type_two,
    unexplained,
)
from sweep.stats.distributions import f_tail
from sweep.stats.effects import Error, TermEffects, term_effects
from sweep.stats.holm import holm
from sweep.stats.intervals import ROUNDING, check_level

_FEWEST_DF = 6
_UNSEEN = "with so few seeds and levels it cannot be seen whether seeds favour one level of the axis"


@dataclass(frozen=True, kw_only=True)
class AnovaRow:
    """One row of the table of variance.

    Attributes:
        name: "depth", "depth x loss", "seed", "other interactions" or "residual" ("x" is a multiplication
            sign).
        factors: the axes of the term; empty for the last three kinds.
        kind: "factor", "interaction", "block", "other" or "residual".
        df: degrees of freedom.
        sum_sq: sum of squares, in the score's unit squared.
        share: eta squared: of the total sum of squares around the mean, in this sample; NaN when that is 0.
        f_value: mean square over that of its error; NaN without one.
        p_value: of no effect; NaN without an error. Of factors by Holm's method for all of them, of interactions
            likewise.
        error_df: degrees of freedom of the error: for a factor those of its interaction with the seeds where they
            are enough, else those of the residual.
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

    Attributes:
        table: factors, then interactions, by order; then block, other interactions, residual.
        effects: one entry for each factor and interaction of the model, in the table's order.
        grand_mean: mean of all configurations, each counting the same.
        error_variance: mean square of the residual; NaN without one.
        df: its degrees of freedom.
        n: rows used.
        n_blocks: seeds used.
        n_missing: rows without a score.
        order: highest order of interaction in the model; 0 without a model.
        level: confidence of each family of intervals; all spans are one family.
        crossings: levels of one axis that change places between levels of another; empty if none is shown to.
        cell_means: of each two axes of a few levels by name, least-squares means `[levels, levels]` in the order of
            appearance.
        notes: what was done that a reader must know, one sentence each.
        cannot: what these data cannot tell and why; empty when nothing is missing.
    """

    table: tuple[AnovaRow, ...]
    effects: tuple[TermEffects, ...]
    grand_mean: float
    error_variance: float
    df: int
    n: int
    n_blocks: int
    n_missing: int
    order: int
    level: float
    crossings: tuple[Crossing, ...]
    cell_means: Mapping[tuple[str, str], NDArray[np.float64]]
    notes: tuple[str, ...]
    cannot: str


def factor_effects(
    frame: pd.DataFrame, factors: Sequence[str], score: str, block: str = "seed", level: float = 0.95
) -> FactorEffects:
    """Which axes of a grid matter, and by how much, from one row per configuration and seed.

    `frame` has a column for each of `factors` (any names, any levels), for the numeric `score` and for
    `block`. The model is block + all interactions of the factors, up to the highest order that the rows
    determine: an empty cell of the grid lowers it, and so do more than 400 columns; with more than 2,000
    levels there is no model. Sums of squares are of type II: each term given all that do not contain it; in a
    complete grid all types agree. Effects are least-squares means minus their mean. With one seed, effects are
    plain differences without interval or p-value: the highest interaction is not used as an error.

    Intervals of effects are Bonferroni's within the term; those of spans are Tukey and Kramer's, at Bonferroni's level
    for all axes.

    Assumes errors of one variance, near enough to normal, independent but for what an axis shares with a seed; scores
    missing for reasons unrelated to the score.

    Raises:
        ValueError: if a column is absent or named twice, a configuration and seed occur twice, or `level` is
            not in (0, 1).

    Source: Montgomery (2017), section 5.6, blocking in a factorial design, and 14.4, split plots; type II as
    `statsmodels.stats.anova.anova_lm`; Kramer (1956).
    """
    check_level(level)
    scores, finite = _checked(frame, factors, score, block)
    rows, y = frame.loc[finite], scores[finite]
    # Centred first, or a large common offset would cost the digits in which the scores differ.
    size, offset = (float(np.abs(y).max()), float(y.mean())) if len(y) else (0.0, 0.0)
    y = y - offset
    axes, seeds = [axis(name, rows[name]) for name in factors], axis(block, rows[block])
    varied = [each for each in axes if len(each.levels) > 1]
    model = largest_model(varied, seeds) if varied else None
    cells = cell_numbers(axes)
    error_ss, df = pure_error(y, cells, seeds) if len(y) else (math.nan, 0)
    cannot = _why_not(len(y), varied, seeds, model, df)
    if not cannot and error_ss <= len(y) * (ROUNDING * size) ** 2:
        cannot = "no spread left beyond configuration and seed: effects cannot be tested"
    error_variance = math.nan if cannot else error_ss / df
    table: tuple[AnovaRow, ...] = ()
    effects: tuple[TermEffects, ...] = ()
    grand_mean = math.nan
    residual = Error(variance=error_variance, df=df)
    changing: tuple[Crossing, ...] = ()
    if model:
        errors = _errors(model, y, cells, seeds, residual, error_ss)
        table = _table(model, y, error_ss, residual, errors, block)
        grand_mean, effects = term_effects(model, y, errors, level, cannot)
        changing = () if cannot else crossings(model, y, errors, level)
    return FactorEffects(
        table=table,
        effects=effects,
        grand_mean=offset + grand_mean,
        error_variance=error_variance,
        df=df,
        n=len(y),
        n_blocks=len(seeds.levels),
        n_missing=len(scores) - len(y),
        order=max(len(term) for term in model.terms) if model else 0,
        level=level,
        crossings=changing,
        cell_means=_cell_means(model, y, offset) if model else {},
        notes=tuple(_notes(axes, cells, seeds, y, model, len(scores) - len(y))),
        cannot=cannot,
    )


def _why_not(n: int, varied: Sequence[Axis], seeds: Axis, model: Model | None, df: int) -> str:
    """What the rows do not suffice for; "" if they do."""
    if not n:
        return "no row has a score"
    if not varied:
        return "every factor has one level: there is no effect to show"
    if sum(len(each.levels) for each in varied) > MOST_LEVELS:
        return f"the axes have more than {MOST_LEVELS:,} levels, too many for an effect of each"
    if model is None:
        return "too few grid points, or too few seeds in common, to separate the factors from each other"
    if len(seeds.levels) < 2:
        return "one seed: effects are plain differences, their uncertainty is unknown"
    return "" if df else "no two configurations share two seeds: the uncertainty of the effects is unknown"


def _cell_means(model: Model, y: NDArray[np.float64], offset: float) -> dict[tuple[str, str], NDArray[np.float64]]:
    return {
        (model.axes[one].name, model.axes[other].name): offset + cell_means(model, y, one, other)
        for one, other in itertools.combinations(range(len(model.axes)), 2)
        if len(model.axes[one].levels) * len(model.axes[other].levels) <= MOST_COLUMNS
    }


def _errors(
    model: Model, y: NDArray[np.float64], cells: NDArray[np.intp], seeds: Axis, residual: Error, error_ss: float
) -> dict[Term, Error]:
    """What each term is tested with."""
    errors = dict.fromkeys(model.terms, residual)
    if math.isnan(residual.variance):
        return errors
    for number, each in enumerate(model.axes):
        rest_ss, rest_df = pure_error(y, cells, seeds, within=each)
        own_df = residual.df - rest_df
        if own_df >= _FEWEST_DF and (number,) in errors:
            errors[(number,)] = Error(variance=max(error_ss - rest_ss, 0.0) / own_df, df=own_df)
        elif len(model.axes) > 1:  # one axis alone has no other error than the residual, which is its own
            errors[(number,)] = dataclasses.replace(residual, provisional=_UNSEEN)
    return errors


def _checked(
    frame: pd.DataFrame, factors: Sequence[str], score: str, block: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The scores of all rows, and which are finite."""
    names = [*factors, score, block]
    if not factors or len(set(names)) < len(names):
        raise ValueError(f"factors {list(factors)}, score {score!r}, block {block!r}: give distinct columns")
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise ValueError(f"no column {absent[0]!r} in the frame; it has {', '.join(map(str, frame.columns))}")
    scores = pd.to_numeric(frame[score]).to_numpy(dtype=np.float64, na_value=math.nan)
    finite = np.isfinite(scores)
    twice = frame.loc[finite].duplicated([*factors, block])
    if twice.any():
        where = frame.loc[finite].loc[twice, [*factors, block]].iloc[0].to_dict()
        raise ValueError(f"two scores for {where}; give one per configuration and {block}")
    return scores, finite


def _table(
    model: Model, y: NDArray[np.float64], error_ss: float, residual: Error, errors: Mapping[Term, Error], block: str
) -> tuple[AnovaRow, ...]:
    total = float(((y - y.mean()) ** 2).sum())

    def row(name: str, names: tuple[str, ...], kind: str, row_df: int, sum_sq: float, error: Error) -> AnovaRow:
        sum_sq = max(sum_sq, 0.0)
        f_value = p_value = math.nan
        if kind != "residual" and error.variance > 0:
            f_value = sum_sq / row_df / error.variance
            p_value = f_tail(f_value, row_df, error.df)
        return AnovaRow(
            name=name,
            factors=names,
            kind=kind,
            df=row_df,
            sum_sq=sum_sq,
            share=sum_sq / total if total > 0 else math.nan,
            f_value=f_value,
            p_value=p_value,
            error_df=0 if kind == "residual" else error.df,
        )

    rows = []
    for term, sum_sq in type_two(model, y).items():
        names, columns = model.names(term), model.columns[term]
        kind = "factor" if len(term) == 1 else "interaction"
        rows.append(row(" × ".join(names), names, kind, columns.stop - columns.start, sum_sq, errors[term]))
    rows = [*_adjusted(rows, "factor"), *_adjusted(rows, "interaction")]
    left = unexplained(model, y, model.terms)
    seed_df = model.seed_columns.stop - 1
    if seed_df:
        of_seeds = unexplained(model, y, model.terms, with_seeds=False) - left
        rows.append(row(block, (), "block", seed_df, float(of_seeds @ of_seeds), residual))
    other_df = len(y) - model.matrix.shape[1] - residual.df
    if other_df:
        rows.append(row("other interactions", (), "other", other_df, float(left @ left) - error_ss, residual))
    rows.append(row("residual", (), "residual", residual.df, error_ss if residual.df else 0.0, residual))
    return tuple(rows)


def _adjusted(rows: Sequence[AnovaRow], kind: str) -> list[AnovaRow]:
    """The rows of a kind, with Holm's p-values for all of them together."""
    chosen = [row for row in rows if row.kind == kind]
    p_values = holm([row.p_value for row in chosen]).tolist()
    return [dataclasses.replace(row, p_value=p) for row, p in zip(chosen, p_values, strict=True)]


def _notes(
    axes: Sequence[Axis],
    cells: NDArray[np.intp],
    seeds: Axis,
    y: NDArray[np.float64],
    model: Model | None,
    n_missing: int,
) -> list[str]:
    notes = [f"{each.name} has one level and no effect to show" for each in axes if len(each.levels) == 1]
    if n_missing:
        notes.append(f"{n_missing} of {len(cells) + n_missing} rows have no score and are left out")
    if model is None:
        return notes
    grid = math.prod(len(each.levels) for each in axes)
    points = int(cells.max()) + 1
    if points < grid:
        notes.append(f"{grid - points} of {grid} grid points have no score")
    if points * len(seeds.levels) > len(cells):
        notes.append("scores are missing: sums of squares are of type II and do not add up to the total")
    order = max(len(term) for term in model.terms)
    if order < len(model.axes):
        notes.append(f"interactions of more than {order} factors are not separated from each other")
    return notes
