"""The grid as a table: a row for each combination of the first axes, a column for each level of the last."""

import math
from typing import Any

import numpy as np
import pandas as pd

from sweep.axes import level_name, value_name
from sweep.report.document import Block, Paragraph, Table
from sweep.report.findings import MOST_SHOWN, Analysis
from sweep.report.formats import NONE, percent
from sweep.table import Grid
from sweep.tables import bold, code

_MOST_COLUMNS = 12


def pivot(analysis: Analysis) -> list[Block]:
    """Mean score of every grid point, the selected configuration's in bold; of a large grid the best rows."""
    grid, selected = analysis.grid, analysis.entries[0].configuration.points
    column_axis = _column_axis(grid)
    values_of = {axis.name: axis.values for axis in grid.axes}
    row_axes = [axis for axis in values_of if axis != column_axis]
    columns = [level_name(column_axis, value) for value in values_of[column_axis]] if column_axis else []
    scores, lost = mean_scores(analysis), {one.point.values for one in grid.diverged}
    columns = columns or [f"{analysis.criterion} (%)"]
    texts: dict[tuple[str, ...], dict[str, str]] = {}
    means: dict[tuple[str, ...], dict[str, float]] = {}
    for point in grid.points:
        levels = {axis: level_name(axis, value) for axis, value in zip(values_of, point.values, strict=True)}
        values = dict(zip(values_of, map(value_name, point.values), strict=True))
        row, column = tuple(values[axis] for axis in row_axes), levels.get(column_axis)
        mean, seeds = scores.get(point.values, math.nan), len(point.replicates)
        text = percent(mean) + (f" (n = {seeds})" if math.isfinite(mean) and seeds < len(grid.seeds) else "")
        text = "diverged" if point.values in lost else text
        texts.setdefault(row, {})[column or columns[0]] = bold(text) if point in selected else text
        means.setdefault(row, {})[column or columns[0]] = mean
    largest = {
        row: max((mean for mean in cells.values() if np.isfinite(mean)), default=-1) for row, cells in means.items()
    }
    order = list(texts) if len(texts) <= MOST_SHOWN else sorted(texts, key=lambda row: -largest[row])[:MOST_SHOWN]
    shown = [dict(zip(row_axes, row, strict=True)) | texts[row] for row in order]
    exact = [dict(zip(row_axes, row, strict=True)) | cells for row, cells in means.items()]
    axes = " × ".join(values_of).replace("_", " ")
    table = Table(
        name="pivot",
        title=f"Mean {analysis.criterion} (%), {axes}; selected in bold",
        shown=pd.DataFrame(shown, columns=[*row_axes, *columns]).fillna(NONE),
        exact=pd.DataFrame(exact, columns=[*row_axes, *columns]),
        folded=True,
    )
    shown_of = f"The {MOST_SHOWN} of {len(texts):,} rows with the largest means are shown"
    cut = f"{shown_of}; all are in {code('tables/pivot.csv')}."
    return [table] if len(order) == len(texts) else [table, Paragraph(text=cut, kind="note")]


def mean_scores(analysis: Analysis) -> dict[tuple[Any, ...], float]:
    """Mean of the criterion of every grid point that is compared, by its values."""
    return {point.values: entry.score.estimate for entry in analysis.entries for point in entry.configuration.points}


def _column_axis(grid: Grid) -> str:
    """The last axis with few enough levels for columns; "" if there is none."""
    few = [axis.name for axis in grid.axes if len(axis.values) <= _MOST_COLUMNS]
    return few[-1] if few else ""
