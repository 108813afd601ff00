"""The published table beside its reproduction: what the report has more if a sweep says `protocol = "published"`.

The table is `published_accuracy.csv`, the sweep that reproduces it `published.toml`: `sweep run published`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from sweep.axes import Axis, Point
from sweep.figures import drawing
from sweep.figures.drawing import BAD, GOOD, INK, NEUTRAL
from sweep.metrics import NONE, Metric, Score
from sweep.report.analysis import Analysis
from sweep.report.document import Content, Drawing, Section, section, table, warning
from sweep.report.findings import LEVEL, shown_interval
from sweep.report.formats import p_equals
from sweep.report.text import bold
from sweep.stats import Interval, chance_of_at_least, mean_interval, prediction_interval
from sweep.table import Grid, GridPoint, goodness

_AXES = ["depth", "activation", "loss"]
# The published numbers are rounded to 0.01 points, so a prediction counts as hit within half of that.
_ROUNDING = 0.00005
_TITLE = "Reproduction of the published table"
# The four facts of the reference experiment, established from its own log.
FACTS = (
    bold("The published accuracies are training accuracies") + ": the share of correct predictions made during the "
    "tenth epoch, each batch scored before that batch's update. The published text presents them as evaluation "
    "results. Held-out test accuracy is about 0.5 to 1.5 points lower.",
    bold("Cross-entropy and sparse cross-entropy are one function") + " (one-hot targets against integer labels). The "
    "differences between the published pairs are therefore the experiment's own noise: up to 0.21 points.",
    bold("The published conclusion contradicts its own table") + ": it names deep + ReLU + sparse cross-entropy with "
    "98.48 %, but the table gives that point 98.43 %, and 98.48 % to medium + sigmoid + sparse cross-entropy.",
    bold("The original's precision, recall, F1 and confusion matrices are of three models only") + ": its evaluation "
    "loop scored the last three trained (tanh, hinge) nine times over under different headings. Those here are of "
    "every configuration.",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A published training accuracy beside the interval that contains one further run of ours, and our test accuracy.

    `inside` says whether the published number lies in it; None if it cannot be said.
    """

    point: GridPoint
    published: float
    ours: Interval
    inside: bool | None
    test: float


def published_scores(axes: Sequence[Axis]) -> dict[Point, float]:
    """The published training accuracies by grid point of these axes; none if they are not those of the table."""
    if [axis.name for axis in axes] != _AXES:
        return {}
    with (resources.files("sweep") / "examples/published/published_accuracy.csv").open() as file:
        frame = pd.read_csv(file)
    points = frame[_AXES].itertuples(index=False, name=None)
    return dict(zip(points, (frame["accuracy_percent"] / 100).tolist(), strict=True))


def published_section(analysis: Analysis) -> Section | None:
    """The published protocol beside its reproduction; None for any other protocol."""
    if analysis.manifest.sweep.protocol != "published":
        return None
    metric = next(one for one in analysis.manifest.metrics if one.name == "accuracy")
    rows = reproduced(analysis.grid, metric)
    facts = [f"{number}. {fact}" for number, fact in enumerate(FACTS, start=1)]
    if not rows:
        text = "The axes are not those of the published table, so nothing can be put beside it."
        return section("reproduction", _TITLE, [warning(text), *facts])
    told = [row for row in rows if row.inside is not None]
    missing = f"For {len(rows) - len(told)} of {len(rows)} it cannot be said: an interval needs two or more finished"
    caption = "Training accuracy in the last epoch: published, and the interval for one further run of ours."
    drawn = any(np.isfinite(row.ours.estimate) for row in rows)
    blocks: list[Content] = [
        _agreement(rows, metric) if told else "",
        warning(f"{missing} seeds." if len(told) < len(rows) else ""),
        table("reproduction", "Published and ours", _table(rows, metric)),
        Drawing(picture=picture(rows, metric), caption=caption) if drawn else None,
        "Facts to know:",
    ]
    return section("reproduction", _TITLE, [*blocks, *facts])


def reproduced(grid: Grid, metric: Metric) -> list[Row]:
    """Puts the published accuracies beside ours; nothing if the axes are others."""
    published, trained = published_scores(grid.axes), Score(metric=metric, split="train")
    rows = []
    for point in grid.points:
        if point.values not in published:
            continue
        finished = [replicate for replicate in point.replicates.values() if not replicate.diverged]
        values = goodness(metric, np.array([replicate.score(trained) for replicate in finished]))
        ours, value = shown_interval(prediction_interval(values, LEVEL), metric), published[point.values]
        inside = bool(ours.low - _ROUNDING <= value <= ours.high + _ROUNDING)
        rows.append(
            Row(
                point=point,
                published=value,
                ours=ours,
                inside=None if ours.cannot else inside,
                test=float(np.mean([one.score(trained.on("test")) for one in finished])) if finished else np.nan,
            )
        )
    return rows


def _agreement(rows: Sequence[Row], metric: Metric) -> str:
    """How well the published table and ours agree as a whole."""
    told = [row for row in rows if row.inside is not None]
    inside = sum(bool(row.inside) for row in told)
    # That so few or fewer would lie inside, were they further runs of ours.
    chance = chance_of_at_least(len(told) - inside, len(told), 1 - LEVEL)
    difference = mean_interval([row.ours.estimate - row.published for row in rows], LEVEL)
    share = f"{inside} of {len(told)} published accuracies lie inside our 95 % prediction interval"
    text = (
        f"{bold(share)} for one further run (so few or fewer would by chance, were they further runs: "
        f"{p_equals(chance)}); the mean difference, ours minus published, is "
        f"{metric.differ_by(difference.estimate, signed=True)}"
    )
    if difference.cannot:
        return f"{text}."
    low, high = difference.low, difference.high
    shown = "which is not shown to be other than none"
    if low > 0 or high < 0:
        shown = f"so the published numbers are shown to be {'lower' if low > 0 else 'higher'} than ours, by little"
    return f"{text} (95 % interval {metric.difference_range(low, high)}), {shown}."


def _table(rows: Sequence[Row], metric: Metric) -> list[dict[str, str]]:
    words = {None: NONE, True: "inside", False: "outside"}
    return [
        {level.axis: level.cell for level in row.point.levels}
        | {
            "published (%)": metric.text(row.published),
            "ours (%)": metric.text(row.ours.estimate),
            "n": str(row.ours.n),
            "ours − published (points)": metric.difference(row.ours.estimate - row.published, signed=True),
            "95 % prediction interval": metric.range(row.ours.low, row.ours.high),
            "published lies": words[row.inside],
            "our test accuracy (%)": metric.text(row.test),
        }
        for row in rows
    ]


def picture(rows: Sequence[Row], metric: Metric) -> drawing.Picture:
    """Draws the published numbers over our prediction intervals."""
    rows = [row for row in rows if np.isfinite(row.ours.estimate)]
    names = [row.point.name for row in rows]
    with drawing.style():
        figure, axes = drawing.named_rows(names, height_in=0.8, row_in=0.19, below=0.7)
        for y, row in enumerate(rows):
            ours = row.ours
            if not ours.cannot:
                axes.plot([ours.low, ours.high], [y, y], color=NEUTRAL, alpha=0.55, lw=5, solid_capstyle="butt")
            axes.plot(ours.estimate, y, "|", color=INK, markersize=7)
            marker, size = ("X", 6.5) if row.inside is False else ("D", 4.5)
            colour = NEUTRAL if row.inside is None else GOOD if row.inside else BAD
            axes.plot(row.published, y, marker, markersize=size, color=colour)
        axes.set_xlabel("training accuracy in the last epoch (%)")
        drawing.metric_axis(axes, metric, "x")
        handles = [
            (Line2D([], [], color=NEUTRAL, alpha=0.55, lw=5), "our 95 % prediction interval"),
            (Line2D([], [], color=INK, linestyle="", marker="|"), "our mean"),
            (Line2D([], [], color=GOOD, linestyle="", marker="D", markersize=4.5), "published, inside"),
            (Line2D([], [], color=BAD, linestyle="", marker="X"), "published, outside"),
        ]
        drawing.legend(figure, handles, loc="lower center", ncols=4, borderaxespad=0.2)
        title = "Published accuracies beside our prediction intervals"
        return drawing.finish(figure, name="reproduction", title=title)
