"""The grid as a heat map and a table, learning curves, and the score against cost."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweep.axes import Axis, Level, Point
from sweep.figures.drawing import Palette
from sweep.figures.grid import Cost, Curve, cost, heat_map, learning_curves
from sweep.metrics import NONE, Score
from sweep.report.analysis import Analysis
from sweep.report.document import Content, Drawing, Section, Table, note, section, warning
from sweep.report.findings import MOST_SHOWN
from sweep.report.text import bold, code
from sweep.stats import pareto_front
from sweep.table import TIME, Configuration

_MOST_FACETS, _MOST_CELLS, _MOST_PANELS, _MOST_COLOURS, _MOST_COLUMNS = 6, 12, 16, 6, 12
_MOST_COSTS = 4 * MOST_SHOWN
_TITLE = "Grid, learning curves, cost"


def grid_section(analysis: Analysis) -> Section:
    """The grid as a heat map and a table, learning curves, and the score against cost."""
    if not analysis.entries:
        return section("grid", _TITLE, [warning("Nothing is finished.")])
    palette = Palette(analysis.grid.axes)
    blocks = [_heat_map(analysis), *pivot(analysis), _curves(analysis, palette), _costs(analysis, palette)]
    return section("grid", _TITLE, blocks)


def pivot(analysis: Analysis) -> list[Content]:
    """Mean score of every grid point: rows by the first axes, columns by the last; of a large grid the best rows."""
    grid, metric, selected = analysis.grid, analysis.metric, analysis.entries[0].configuration.points
    few = [axis for axis in grid.axes if len(axis.values) <= _MOST_COLUMNS]
    names = [axis.name for axis in grid.axes if axis not in few[-1:]]
    columns = [str(level) for level in few[-1].levels] if few else [grid.criterion.heading]
    scores, lost = _means(analysis), {one.point.values for one in grid.diverged}
    texts: dict[tuple[str, ...], dict[str, str]] = {}
    means: dict[tuple[str, ...], dict[str, float]] = {}
    for point in grid.points:
        levels = {level.axis: level for level in point.levels}
        row = tuple(levels[name].cell for name in names)
        column = str(levels[few[-1].name]) if few else columns[0]
        mean, seeds = scores.get(point.values, math.nan), len(point.replicates)
        text = metric.text(mean) + (f" (n = {seeds})" if math.isfinite(mean) and seeds < len(grid.seeds) else "")
        text = "diverged" if point.values in lost else text
        texts.setdefault(row, {})[column] = bold(text) if point in selected else text
        means.setdefault(row, {})[column] = mean
    best = {
        row: max(map(metric.turned, filter(math.isfinite, cells.values())), default=-math.inf)
        for row, cells in means.items()
    }
    order = sorted(texts, key=lambda row: -best[row])[:MOST_SHOWN] if len(texts) > MOST_SHOWN else list(texts)
    shown = [dict(zip(names, row, strict=True)) | texts[row] for row in order]
    exact = [dict(zip(names, row, strict=True)) | cells for row, cells in means.items()]
    axes = " × ".join(axis.name for axis in grid.axes).replace("_", " ")
    table = Table(
        name="pivot",
        title=f"Mean {grid.criterion.heading}, {axes}; selected in bold",
        shown=pd.DataFrame(shown, columns=[*names, *columns]).fillna(NONE),
        exact=pd.DataFrame(exact, columns=[*names, *columns]),
        folded=True,
    )
    cut = f"The {MOST_SHOWN} of {len(texts):,} rows with the {metric.best} means are shown"
    return [table, note(f"{cut}; all are in {code('tables/pivot.csv')}." if len(order) < len(texts) else "")]


def _means(analysis: Analysis) -> dict[Point, float]:
    """Mean of the criterion of every grid point that is compared, by its values."""
    return {point.values: entry.score.estimate for entry in analysis.entries for point in entry.configuration.points}


def _heat_map(analysis: Analysis) -> Content:
    """Facets by the first axis, rows by the second, columns by the third; further axes as in the selected one."""
    grid, selected = analysis.grid, analysis.entries[0].configuration.points
    none = Axis(name="", values=("",), scale="nominal")
    facets, rows, columns = grid.axes[:3] if len(grid.axes) > 2 else [none, none, *grid.axes][-3:]
    if len(facets.values) > _MOST_FACETS or max(len(rows.values), len(columns.values)) > _MOST_CELLS:
        return note(f"The grid is too large for a heat map; its numbers are in {code('tables/pivot.csv')}.")
    held = {level.axis: level for level in selected[0].levels[3:]}
    cells = {value: np.full((len(rows.values), len(columns.values)), math.nan) for value in facets.values}
    means, marked = _means(analysis), []
    for point in grid.points:
        values = {"": "", **{level.axis: level.values[0] for level in point.levels}}
        if not point.replicates or any(values[axis] != level.values[0] for axis, level in held.items()):
            continue
        row, column = rows.values.index(values[rows.name]), columns.values.index(values[columns.name])
        cells[values[facets.name]][row, column] = means.get(point.values, math.nan)
        if point in selected:
            marked.append((facets.values.index(values[facets.name]), row, column))
    picture = heat_map(
        list(zip(map(str, facets.levels), cells.values(), strict=True)),
        rows=[str(level) for level in rows.levels],
        columns=[str(level) for level in columns.levels],
        score=grid.criterion,
        marked=marked,
    )
    where = f" Held at {', '.join(map(str, held.values()))}." if held else ""
    caption = f"Mean {grid.criterion.title} at every grid point, one colour scale; framed: selected.{where}"
    return Drawing(picture=picture, caption=caption)


def _curves(analysis: Analysis, palette: Palette) -> Drawing:
    """Rows by the first axis, columns by the second, colours by the last; of a larger grid the first of the ranking."""
    grid, criterion = analysis.grid, analysis.criterion
    axes = [axis.name for axis in grid.axes]
    held = [analysis.entries[0].configuration.levels[axis] for axis in axes[3:]]
    chosen = [
        entry.configuration
        for entry in analysis.entries
        if all(entry.configuration.levels[level.axis] == level for level in held)
    ]
    rows, columns, colours = axes[:3] if len(axes) > 2 else ["", "", *axes][-3:]

    def panel(configuration: Configuration) -> tuple[Level | str, Level | str]:
        return configuration.levels.get(rows, ""), configuration.levels.get(columns, "")

    caption = f"{analysis.metric.title.capitalize()} by epoch: mean over seeds, the band from the smallest to the "
    caption += "largest."
    if len({panel(one) for one in chosen}) <= _MOST_PANELS and len(grid.levels(colours)) <= _MOST_COLOURS:
        chosen = [configuration for configuration in grid.configurations if configuration in chosen]
        places: Sequence[tuple[Level | str, Level | str]] = [panel(one) for one in chosen]
        caption += f" Held at {', '.join(map(str, held))}." if held else ""
    else:
        chosen, colours = chosen[:9], axes[0]
        ranks = [f"ranks {ranks}" for ranks in ("1–3", "4–6", "7–9")]
        places = [(row, column) for row in ranks for column in ("first", "second", "third")][: len(chosen)]
        caption += f" The first {len(chosen)} of the ranking; colours: {colours.replace('_', ' ')}."
    curves = [
        Curve(
            row=row,
            column=column,
            level=configuration.levels[colours],
            training=_history(configuration, criterion.on("train")),
            validation=_history(configuration, criterion.on("validation")),
        )
        for configuration, (row, column) in zip(chosen, places, strict=True)
    ]
    return Drawing(picture=learning_curves(curves, metric=analysis.metric, palette=palette), caption=caption)


def _history(configuration: Configuration, score: Score) -> NDArray[np.float64]:
    """`[E, S]`, cut to the shortest of its trials."""
    columns = [[row[one.row] for row in one.record.history(score)] for one in configuration.trained]
    shortest = min(map(len, columns))
    return np.array([column[:shortest] for column in columns], dtype=np.float64).T


def _costs(analysis: Analysis, palette: Palette) -> Drawing:
    entries = analysis.entries
    means = np.array([analysis.metric.turned(entry.score.estimate) for entry in entries])
    costs = {
        "training time per replicate (s)": [entry.configuration.mean(TIME) for entry in entries],
        "parameters": [float(entry.configuration.parameters) for entry in entries],
    }
    fronts = {label: pareto_front(np.array(values), means) for label, values in costs.items()}
    shown = [
        Cost(
            rank=entry.rank,
            levels=entry.configuration.levels,
            score=entry.score.estimate,
            costs={label: values[place] for label, values in costs.items()},
            on_front={label: bool(front[place]) for label, front in fronts.items()},
        )
        for place, entry in enumerate(entries[:_MOST_COSTS])
    ]
    scores = "high" if analysis.metric.mode == "max" else "low"
    return Drawing(
        picture=cost(shown, score=analysis.criterion, palette=palette),
        caption=f"{analysis.metric.title.capitalize()} against cost. Filled and numbered by rank: on the Pareto front, "
        f"no other costs less and scores as {scores}; the front is of measured means and itself uncertain.",
    )
