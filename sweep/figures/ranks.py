"""The critical-difference diagram: average ranks over data sets, and who cannot be told apart."""

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from sweep.figures.drawing import GOOD, INK, NEUTRAL, Picture, finish, panels, style
from sweep.figures.labels import folded, line_count, text_width


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
        figure, grid = panels(6.6, 0.6 + row_in * len(names), left=left, bottom=0.45, right=0.2 + 0.1 * len(groups))
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
        axes.set_yticks(range(len(order)), [names[k] for k in order])
        axes.set_ylim(len(order) - 0.4, -1.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_xlabel("average rank over the data sets (1 is best)")
        return finish(figure, name="critical-difference", title="Average ranks over the data sets")
