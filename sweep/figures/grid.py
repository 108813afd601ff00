"""Pictures of the grid: heat map, learning curves, score against cost.

Every function draws one picture. Axis letters: S seeds, E epochs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from sweep.axes import Level
from sweep.figures.drawing import (
    BAD,
    INK,
    NEUTRAL,
    WIDTH_IN,
    Palette,
    Picture,
    broken,
    finish,
    legend,
    line_count,
    metric_axis,
    panels,
    short,
    style,
    text_width,
)
from sweep.metrics import Metric, Score


def heat_map(
    facets: Sequence[tuple[str, NDArray[np.float64]]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    score: Score,
    marked: Collection[tuple[int, int, int]],
) -> Picture:
    """Draws the grid as facets of cells with one colour scale; NaN is a missing cell.

    Args:
        facets: Title, and mean score `[rows, columns]`.
        rows: Names of the rows.
        columns: Names of the columns.
        score: Whose means they are.
        marked: Places of facet, row and column of each grid point of the selected configuration.
    """
    every = np.concatenate([cells.ravel() for _, cells in facets])
    known = every[np.isfinite(every)]
    norm = Normalize(known.min(), known.max() if np.ptp(known) else known.min() + 1e-4)
    colours = colormaps["cividis"]
    rows, columns = [short(row) for row in rows], [broken(level, 9) for level in columns]
    titles = [broken(title, 9 * len(columns)) for title, _ in facets]
    with style():
        left, under = text_width(rows) + 0.12, 0.12 + 0.13 * line_count(columns)
        figure, axes_grid = panels(
            max(min(WIDTH_IN, left + 0.9 * len(columns) * len(facets)), 3.2),
            0.38 * len(rows) + under + 0.67 + _above(titles),
            columns=len(facets),
            left=left,
            bottom=under + 0.65,
            top=_above(titles),
            share_y=True,
        )
        grid = axes_grid[0]
        mesh = None
        for number, (axes, title, (_, cells)) in enumerate(zip(grid, titles, facets, strict=True)):
            mesh = axes.pcolormesh(np.ma.masked_invalid(cells), cmap=colours, norm=norm, edgecolors="none")
            _write_cells(
                axes, cells, score.metric, norm, framed=[(row, column) for at, row, column in marked if at == number]
            )
            axes.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=7)
            axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
            axes.tick_params(length=0)
            axes.set_ylim(len(rows), 0)
            axes.spines[:].set_visible(False)
            axes.set_title(title)
        width, height = figure.get_size_inches()
        place = figure.add_axes((left / width, 0.42 / height, 1 - (left + 0.08) / width, 0.1 / height))
        assert mesh is not None
        bar = figure.colorbar(mesh, cax=place, orientation="horizontal")
        bar.outline.set_visible(False)
        bar.set_label(f"mean {score.title}{score.metric.heading}")
        metric_axis(bar.ax, score.metric, "x")
        return finish(figure, name="heat-map", title=f"Mean {score.title} at every grid point")


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Learning curves of one configuration: a metric on train and validation `[E, S]`, either may be NaN."""

    row: Level | str
    column: Level | str
    level: Level
    training: NDArray[np.float64]
    validation: NDArray[np.float64]


def learning_curves(curves: Sequence[Curve], *, metric: Metric, palette: Palette) -> Picture:
    """Draws small multiples of a metric by epoch: mean over seeds, with a band from smallest to largest."""
    rows, columns = ([*dict.fromkeys(getattr(curve, way) for curve in curves)] for way in ("row", "column"))
    titles = [broken(column, 66 // len(columns)) for column in columns]
    label = f"{metric.title}{metric.heading}"
    labels = [f"{broken(row, 18)}\n{label}" if row else label for row in rows]
    with style():
        figure, grid = panels(
            WIDTH_IN if len(columns) > 1 else 4.5,
            0.82 + _above(titles) + 1.3 * len(rows),
            rows=len(rows),
            columns=len(columns),
            left=0.49 + 0.13 * line_count(labels),
            bottom=0.85,
            top=_above(titles) - 0.03,
            share_x=True,
            share_y=True,
        )
        for axes in grid.ravel():
            axes.autoscale(False)  # or every curve moves the limits of all panels
        for curve in curves:
            axes = grid[rows.index(curve.row), columns.index(curve.column)]
            colour = palette.colour(curve.level)
            epochs = np.arange(1, len(curve.training) + 1)
            for values, dash in ((curve.training, (0, (2, 1.2))), (curve.validation, "-")):
                if not np.isfinite(values).all(axis=1).any():
                    continue
                axes.fill_between(epochs, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.18, lw=0)
                axes.plot(epochs, values.mean(axis=1), color=colour, linestyle=dash, lw=1.2)
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)
        for axes, label in zip(grid[:, 0], labels, strict=True):
            axes.set_ylabel(label)
        for axes in grid.ravel():
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
            metric_axis(axes, metric)
        grid[0, 0].autoscale(True, axis="x")
        _limit(grid[0, 0], curves)
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
        levels = dict.fromkeys(curve.level for curve in curves)
        handles = [(Line2D([], [], color=palette.colour(level)), broken(level, 22)) for level in levels]
        handles.append((Line2D([], [], color=INK, linestyle=(0, (2, 1.2))), "training"))
        if any(np.isfinite(curve.validation).any() for curve in curves):
            handles.append((Line2D([], [], color=INK), "validation"))
        legend(figure, handles, loc="lower center", ncols=min(len(handles), 5), borderaxespad=0.2)
        title = f"{metric.title.capitalize()} by epoch, training and validation, with the range of the seeds"
        return finish(figure, name="curves", title=title)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One configuration in the picture of costs, by their labels; `levels` decide marker (first axis) and colour."""

    rank: int
    levels: Mapping[str, Level]
    score: float
    costs: Mapping[str, float]
    on_front: Mapping[str, bool]


def cost(points: Sequence[Cost], *, score: Score, palette: Palette) -> Picture:
    """Draws score against each cost, with the Pareto front and the ranks of the configurations on it."""
    names, labels = list(points[0].levels), list(points[0].costs)
    marked, coloured = names[0], names[1] if len(names) > 1 else names[0]
    with style():
        figure, axes_grid = panels(WIDTH_IN, 3.3, columns=len(labels), left=0.6, bottom=0.85, top=0.15, share_y=True)
        grid = axes_grid[0]
        for axes, label in zip(grid, labels, strict=True):
            front = sorted((one.costs[label], one.score) for one in points if one.on_front[label])
            axes.plot(*zip(*front, strict=True), color=NEUTRAL, lw=1, drawstyle="steps-post", zorder=1)
            for one in points:
                colour = palette.colour(one.levels[coloured])
                axes.plot(
                    one.costs[label],
                    one.score,
                    palette.marker(one.levels[marked]),
                    color=colour,
                    mfc=colour if one.on_front[label] else "none",
                    markersize=5.5,
                    zorder=2,
                )
                if one.on_front[label]:
                    axes.annotate(
                        f"{one.rank}",
                        (one.costs[label], one.score),
                        textcoords="offset points",
                        xytext=(5, 3),
                        fontsize=8,
                        weight="bold",
                    )
            if min(one.costs[label] for one in points) > 0:
                _logarithmic(axes, [one.costs[label] for one in points])
            axes.set_xlabel(label)
            axes.grid()
            metric_axis(axes, score.metric)
        grid[0].set_ylabel(f"mean {score.title}{score.metric.heading}")
        handles = []
        for level in _in_order(palette, marked, points):
            marker = palette.marker(level)
            colour = palette.colour(level) if marked == coloured else INK
            handles.append((Line2D([], [], color=colour, linestyle="", marker=marker, mfc="none"), broken(level, 22)))
        if coloured != marked:
            for level in _in_order(palette, coloured, points):
                handles.append((Line2D([], [], color=palette.colour(level), lw=4), broken(level, 22)))
        columns = min(len(handles), 6)
        legend(figure, handles[:14], loc="lower center", ncols=columns, handlelength=1.2, borderaxespad=0.2)
        return finish(figure, name="cost", title=f"Mean {score.title} against training time and parameters")


def _write_cells(
    axes: Axes, cells: NDArray[np.float64], metric: Metric, norm: Normalize, framed: Collection[tuple[int, int]]
) -> None:
    for (row, column), value in np.ndenumerate(cells):
        dark = np.isfinite(value) and norm(value) < 0.55
        axes.text(
            column + 0.5,
            row + 0.5,
            metric.text(value),
            ha="center",
            va="center",
            fontsize=7.5,
            color=INK if not np.isfinite(value) else "#ffffff" if dark else "#000000",
        )
        if (row, column) in framed:
            axes.plot(
                np.array([0.04, 0.96, 0.96, 0.04, 0.04]) + column,
                np.array([0.05, 0.05, 0.95, 0.95, 0.05]) + row,
                color=BAD,
                linewidth=2,
            )


def _above(titles: Sequence[str]) -> float:
    """Room in inches for titles of panels."""
    return 0.13 + 0.15 * line_count(titles)


def _limit(axes: Axes, curves: Sequence[Curve]) -> None:
    """The first epoch of a slow starter must not flatten all other curves."""
    values = np.concatenate([part.ravel() for curve in curves for part in (curve.training, curve.validation)])
    values = values[np.isfinite(values)]
    if not values.size:
        return
    ends = np.concatenate([part[-1] for curve in curves for part in (curve.training, curve.validation)])
    ends = ends[np.isfinite(ends)]
    low = max(values.min(), min(float(np.percentile(values, 4)), ends.min() if ends.size else 1.0))
    margin = 0.04 * (values.max() - low) or 0.005
    axes.set_ylim(low - margin, values.max() + margin)


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    if max(values) / min(values) < 30:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _thousands(value)))


def _thousands(value: float) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"


def _in_order(palette: Palette, axis: str, points: Sequence[Cost]) -> list[Level]:
    return sorted({one.levels[axis] for one in points}, key=palette.position)
