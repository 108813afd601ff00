"""Section 5: the grid as a heat map and a table, learning curves, accuracy against cost."""

import numpy as np
from numpy.typing import NDArray

from sweep.axes import level_name
from sweep.figures import (
    Cost,
    Curve,
    Palette,
    cost,
    heat_map,
    learning_curves,
)
from sweep.metrics import Score
from sweep.report.document import Block, Drawing, Paragraph, Section, section
from sweep.report.findings import MOST_SHOWN, Analysis
from sweep.report.pivot import mean_scores, pivot
from sweep.table import TIME, Configuration
from sweep.tables import code

_MOST_FACETS, _MOST_CELLS, _MOST_PANELS = 6, 12, 16


def grid_section(analysis: Analysis) -> Section:
    """The grid as a heat map and a table, learning curves, and accuracy against cost."""
    if not analysis.entries:
        return section("grid", "Grid, learning curves, cost", [Paragraph(text="Nothing is finished.", kind="warning")])
    palette = Palette(analysis.grid.axes)
    blocks: list[Block | None] = [_heat_map(analysis), *pivot(analysis), _curves(analysis, palette)]
    shown = analysis.entries[: 4 * MOST_SHOWN]
    costs = [
        Cost(
            rank=entry.rank,
            levels=entry.configuration.levels,
            score=entry.score.estimate,
            costs={
                "train_time_s": entry.configuration.mean(TIME),
                "parameters": float(entry.parameters),
            },
            on_front=entry.on_front,
        )
        for entry in shown
    ]
    labels = {"train_time_s": "training time per replicate (s)", "parameters": "parameters"}
    blocks.append(
        Drawing(
            picture=cost(costs, labels=labels, score=analysis.grid.criterion, palette=palette),
            caption="Accuracy against cost. Filled and numbered by rank: on the Pareto front, no other costs less and "
            "scores as high; the front is of measured means and itself uncertain.",
        )
    )
    return section("grid", "Grid, learning curves, cost", blocks)


def _heat_map(analysis: Analysis) -> Block:
    """Facets by the first axis, rows by the second, columns by the third; further axes as in the selected one."""
    grid, selected = analysis.grid, analysis.entries[0].configuration.points[0].values
    axes = [axis.name for axis in grid.axes]
    values_of = {axis.name: axis.values for axis in grid.axes}
    while len(axes) < 3:
        axes.insert(0, "")
    facet_axis, row_axis, column_axis = axes[:3]
    held = {axis: value for axis, value in zip(values_of, selected, strict=True) if axis not in axes[:3]}
    names = {axis: [level_name(axis, v) for v in values_of[axis]] if axis else [""] for axis in axes[:3]}
    if len(names[facet_axis]) > _MOST_FACETS or max(len(names[row_axis]), len(names[column_axis])) > _MOST_CELLS:
        return Paragraph(
            text=f"The grid is too large for a heat map; its numbers are in {code('tables/pivot.csv')}.", kind="note"
        )
    shape = (len(names[row_axis]), len(names[column_axis]))
    facets = {name: np.full(shape, np.nan) for name in names[facet_axis]}
    means = mean_scores(analysis)
    marked = []
    for point in grid.points:
        levels = {axis: level_name(axis, v) for axis, v in zip(values_of, point.values, strict=True)} | {"": ""}
        values = dict(zip(values_of, point.values, strict=True))
        if not point.replicates or any(values[axis] != value for axis, value in held.items()):
            continue
        row, column = names[row_axis].index(levels[row_axis]), names[column_axis].index(levels[column_axis])
        facets[levels[facet_axis]][row, column] = means.get(point.values, np.nan)
        if point in analysis.entries[0].configuration.points:
            marked.append((levels[facet_axis], row, column))
    picture = heat_map(
        facets, rows=names[row_axis], columns=names[column_axis], score=analysis.grid.criterion, marked=marked
    )
    where = ", ".join(level_name(axis, value) for axis, value in held.items())
    caption = f"Mean {analysis.criterion} at every grid point, one colour scale; framed: selected."
    return Drawing(picture=picture, caption=caption + (f" Held at {where}." if where else ""))


def _curves(analysis: Analysis, palette: Palette) -> Block:
    """Rows by the first axis, columns by the second, colours by the last; of a larger grid the first of the ranking."""
    axes = [axis.name for axis in analysis.grid.axes]
    held = analysis.entries[0].configuration.levels
    chosen = [
        entry.configuration
        for entry in analysis.entries
        if all(entry.configuration.levels[axis] == held[axis] for axis in axes[3:])
    ]
    columns = axes[-2] if len(axes) == 2 else axes[1] if len(axes) > 2 else ""
    rows = axes[0] if len(axes) > 2 else ""
    colours = axes[2] if len(axes) > 2 else axes[-1]
    small = len({(c.levels.get(rows, ""), c.levels.get(columns, "")) for c in chosen}) <= _MOST_PANELS
    small = small and len(analysis.grid.levels(colours)) <= 6
    caption = "Accuracy by epoch: mean over seeds, the band from the smallest to the largest."
    if small:
        order = [configuration for configuration in analysis.grid.configurations if configuration in chosen]
        places = [(c.levels.get(rows, ""), c.levels.get(columns, "")) for c in order]
        where = ", ".join(str(held[axis]) for axis in axes[3:])
        caption += f" Held at {where}." if where else ""
    else:
        order = chosen[:9]
        colours = axes[0]
        places = [
            ("ranks " + ["1–3", "4–6", "7–9"][i // 3], ["first", "second", "third"][i % 3]) for i in range(len(order))
        ]
        caption += f" The first {len(order)} of the ranking; colours: {colours.replace('_', ' ')}."
    criterion = analysis.grid.criterion
    curves = [
        Curve(
            row=row,
            column=column,
            level=configuration.levels[colours],
            training=history(configuration, criterion.on("train")),
            validation=history(configuration, criterion.on("validation")),
        )
        for configuration, (row, column) in zip(order, places, strict=True)
    ]
    return Drawing(picture=learning_curves(curves, metric=analysis.metric, palette=palette), caption=caption)


def history(configuration: Configuration, score: Score) -> NDArray[np.float64]:
    """`[E, S]`, cut to the shortest of its trials."""
    columns = []
    for replicate in configuration.trained:
        columns.append([row[replicate.row] for row in replicate.record.history(score)])
    shortest = min(map(len, columns))
    return np.array([column[:shortest] for column in columns], dtype=np.float64).T
