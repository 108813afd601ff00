"""Pictures of scores: ranking, effects, interactions, average ranks.

Every function draws one picture.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sweep.axes import Level
from sweep.figures.drawing import (
    GOOD,
    INK,
    NEUTRAL,
    WIDTH_IN,
    Palette,
    Picture,
    broken,
    finish,
    folded,
    legend,
    line_count,
    metric_axis,
    panels,
    rows_of,
    style,
    text_width,
)
from sweep.metrics import Metric, Score


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One line of a picture of intervals: a name, a mean, its interval, single values, and whether it stands out."""

    name: str
    estimate: float
    low: float
    high: float
    values: tuple[float, ...] = ()
    strong: bool = True


def ranking(bars: Sequence[Bar], *, score: Score, name: str = "ranking") -> Picture:
    """Draws means with intervals and the values of single seeds, best on top; strong ones are filled."""
    with style():
        names = [folded(bar.name) for bar in bars]
        row_in = 0.07 + 0.12 * line_count(names)
        figure, grid = panels(WIDTH_IN, 0.55 + row_in * len(bars), left=text_width(names) + 0.1, bottom=0.45)
        axes = grid[0, 0]
        for y, bar in enumerate(bars):
            colour = GOOD if bar.strong else NEUTRAL
            axes.plot(bar.values, [y] * len(bar.values), "|", color=colour, alpha=0.55, markersize=6)
            if math.isfinite(bar.low):
                axes.plot([bar.low, bar.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot(bar.estimate, y, "o", color=colour, markersize=5, mfc=colour if bar.strong else "none")
        rows_of(axes, names)
        axes.set_xlabel(f"{score.title}{score.metric.heading}")
        metric_axis(axes, score.metric, "x")
        shown = "means with 95 % intervals and single seeds" if any(math.isfinite(bar.low) for bar in bars) else "means"
        shown = shown if any(bar.values for bar in bars) else "single runs"
        return finish(figure, name=name, title=f"Ranking by {score.title}, {shown}")


def main_effects(effects: Mapping[str, Mapping[Level, Bar]], *, score: Score, palette: Palette) -> Picture:
    """Draws, for each axis, the distance of every level from the mean of all levels."""
    lines: list[tuple[Level | str, Bar | None]] = []
    for axis, bars in effects.items():
        lines += [(axis.replace("_", " "), None), *bars.items()]
    names = [level if isinstance(level, str) else broken(level, 24, cell=True) for level, _ in lines]
    factor = score.metric.factor
    with style():
        figure, grid = panels(WIDTH_IN, 0.6 + 0.23 * len(lines), left=text_width(names) + 0.1, bottom=0.45)
        axes = grid[0, 0]
        axes.axvline(0, color=NEUTRAL, linewidth=0.8)
        for y, (level, bar) in enumerate(lines):
            if bar is None or isinstance(level, str):
                continue
            colour = palette.colour(level)
            if math.isfinite(bar.low):
                axes.plot([factor * bar.low, factor * bar.high], [y, y], color=colour, linewidth=2)
            axes.plot(factor * bar.estimate, y, palette.marker(level), color=colour, markersize=6)
        rows_of(axes, names)
        for label, (_, bar) in zip(axes.get_yticklabels(), lines, strict=True):
            label.set_fontweight("normal" if bar else "bold")
        axes.set_ylim(len(lines) - 0.5, -0.5)
        unit = score.metric.step_in_full
        axes.set_xlabel(f"effect on {score.title}" + (f" ({unit})" if unit else ""))
        return finish(figure, name="effects", title=f"Effect of every level on {score.title}")


def interactions(pairs: Sequence[Mapping[tuple[Level, Level], float]], *, score: Score, palette: Palette) -> Picture:
    """Draws, for each pair of axes, the mean at every combination: parallel lines mean no interaction.

    Args:
        pairs: Mean by level along the panel and level of the line.
        score: Whose means they are.
        palette: Of the levels.
    """
    columns = min(len(pairs), 3)
    rows = math.ceil(len(pairs) / columns)
    legend_lines = max(sum(broken(b, 22).count("\n") + 1 for b in {b for _, b in means}) for means in pairs)
    tick_lines = line_count(broken(a, 10, cell=True) for means in pairs for a, _ in means)
    upright = any(len({a for a, _ in means}) > 4 for means in pairs)
    below = 0.3 + 0.16 * legend_lines + (0.9 if upright else 0.12 * tick_lines)
    with style():
        figure, grid = panels(
            min(WIDTH_IN, 0.7 + 2.6 * columns),
            rows * (1.75 + below + 0.25),
            rows=rows,
            columns=columns,
            left=0.6,
            bottom=below,
            top=0.25,
            gap=(below + 0.25, 0.15),
            share_y=True,
        )
        for axes, means in zip(grid.ravel(), pairs, strict=False):
            drawn = _lines(axes, means, score.metric, palette)
            place = (0.5, -(below - 0.02) / 1.75)
            options: dict[str, Any] = {"handlelength": 2.6, "borderpad": 0, "borderaxespad": 0}
            legend(axes, drawn, loc="lower center", bbox_to_anchor=place, **options)
        for axes in grid.ravel()[len(pairs) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel(f"mean {score.title}{score.metric.heading}")
        return finish(figure, name="interactions", title=f"Mean {score.title} at every combination of two axes")


def critical_difference_diagram(
    names: Sequence[str], average_ranks: Sequence[float], groups: Sequence[Sequence[int]], difference: float
) -> Picture:
    """Draws every configuration at its average rank, best on top, and a bar over each group that is not told apart."""
    order = sorted(range(len(names)), key=lambda k: average_ranks[k])
    place = {k: y for y, k in enumerate(order)}
    names = [folded(name) for name in names]
    row_in = 0.08 + 0.12 * line_count(names)
    with style():
        left = text_width(names) + 0.1
        figure, grid = panels(
            WIDTH_IN, 0.6 + row_in * len(names), left=left, bottom=0.45, right=0.2 + 0.1 * len(groups)
        )
        axes = grid[0, 0]
        axes.plot([average_ranks[k] for k in order], range(len(order)), "o", color=GOOD, markersize=5)
        for number, group in enumerate(groups):
            rows = [place[k] for k in group]
            x = 1.03 + 0.025 * number
            axes.plot(
                [x, x],
                [min(rows) - 0.2, max(rows) + 0.2],
                color=INK,
                lw=1.6,
                clip_on=False,
                transform=axes.get_yaxis_transform(),
            )
        first = average_ranks[order[0]]
        axes.plot([first, first + difference], [-0.7, -0.7], color=NEUTRAL, lw=2.5)
        axes.text(first, -0.9, f"critical difference {difference:.2f}", fontsize=7.5, ha="left", va="bottom")
        axes.set_xlim(0.5, len(names) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10], integer=True))
        rows_of(axes, [names[k] for k in order], top=-1.6)
        axes.set_xlabel("average rank over the data sets (1 is best)")
        return finish(figure, name="critical-difference", title="Average ranks over the data sets")


def _lines(
    axes: Axes, means: Mapping[tuple[Level, Level], float], metric: Metric, palette: Palette
) -> list[tuple[Artist, str]]:
    """Draws a line for each level of an axis along the levels of another; gives the lines with their names."""
    xs = list(dict.fromkeys(level for level, _ in means))
    drawn: list[tuple[Artist, str]] = []
    for level in dict.fromkeys(level for _, level in means):
        (line,) = axes.plot(
            range(len(xs)),
            [means.get((x, level), math.nan) for x in xs],
            color=palette.colour(level),
            marker=palette.marker(level),
            linestyle=palette.dash(level),
            markersize=4.5,
        )
        drawn.append((line, broken(level, 22)))
    names = [broken(x, 10, cell=True) for x in xs]
    axes.set_xticks(range(len(xs)), names, rotation=0 if len(xs) <= 4 else 90)
    axes.set_xlim(-0.3, len(xs) - 0.7)
    along, lines = next(iter(means))
    axes.set_title(f"{along.axis} × {lines.axis}".replace("_", " "))
    axes.grid(axis="y")
    metric_axis(axes, metric)
    return drawn
