"""What matters: effects of the levels of each axis, interactions, and the table of variance."""

import itertools
from collections.abc import Sequence

from sweep.axes import Level
from sweep.figures.drawing import Palette
from sweep.figures.scores import Bar, interactions, main_effects
from sweep.metrics import NONE, Metric
from sweep.report.analysis import Analysis
from sweep.report.document import Content, Drawing, Section, Table, note, section, table, warning
from sweep.report.findings import AxisEffect
from sweep.report.formats import p_text, significant

_MOST_LEVELS, _MOST_AXES, _MOST_ALONG = 12, 4, 6
_SHARE = Metric(name="share", unit="%", digits=1)
_METHOD = (
    "An axis is tested with its own axis × seed error where six degrees of freedom or more tell it, else with the "
    "residual; p-values of axes are adjusted by Holm, and so are those of interactions; intervals hold for all axes at "
    "once. Assumes errors near enough to normal. Share is of the variation around the mean in this sample (eta "
    "squared). An axis with a small share may still matter at one level of another: see the interactions."
)


def effects_section(analysis: Analysis) -> Section:
    """Effects of levels and interactions, then the table of variance."""
    effects = analysis.effects
    if len(analysis.grid.seeds) == 1:
        text = "One seed: what a level does and what is luck cannot be told apart."
        return section("effects", "Effects of the axes", [warning(text)])
    doubts = [f"{claim.subject[0]}: {claim.provisional}" for claim in analysis.claimed("axis") if claim.provisional]
    blocks = [
        warning(f"What cannot be said: {effects.cannot}." if effects.cannot else ""),
        *(_of_levels(analysis) if analysis.spans else []),
        _variance(analysis) if effects.table else None,
        warning(f"Provisional: {'; '.join(doubts)}." if doubts else ""),
        note(" ".join(f"{text[0].upper()}{text[1:]}." for text in effects.notes)),
        note(_METHOD if effects.table and not effects.cannot else ""),
    ]
    return section("effects", "What matters: effects of the axes", blocks)


def spans_table(rows: Sequence[dict[str, str]]) -> Table:
    """The table of what lies between the worst and the best level of axes."""
    return table("effects", "Largest difference between two levels of an axis", rows)


def span_cells(analysis: Analysis, one: AxisEffect, ends: Sequence[str]) -> dict[str, str]:
    """An axis as a row of that table, with its ends as they are to be written."""
    metric = analysis.metric
    return {
        "axis": one.axis,
        "from": ends[0],
        "to": ends[1],
        f"difference{metric.step_heading}": metric.difference(one.span.estimate),
        "95 % interval": metric.difference_range(one.span.low, one.span.high),
    }


def _of_levels(analysis: Analysis) -> list[Content]:
    metric, palette = analysis.metric, Palette(analysis.grid.axes)
    unit = f" in {metric.step_in_full}" if metric.step_in_full else ""
    small = {
        one.axis: {level: _bar(analysis, one, level) for level in one.levels}
        for one in analysis.of_axes
        if len(one.levels) <= _MOST_LEVELS
    }
    held = " with intervals that hold together for all levels of an axis (Bonferroni)"
    caption = f"Effect of every level{'' if analysis.effects.cannot else held}."
    rows = [
        span_cells(analysis, one, [level.cell for level in one.ends])
        | {"share of variance in this sample (%)": _SHARE.text(one.share), "p": p_text(one.p_value)}
        for one in analysis.spans
    ]
    what = (
        f"Effects on {analysis.criterion.title}{unit}: how far a level lies from the mean of all levels of its axis, "
    )
    what += "the other axes averaged out. Levels that gave identical numbers are one level."
    picture = main_effects(small, score=analysis.criterion, palette=palette) if small else None
    drawing = Drawing(picture=picture, caption=caption) if picture else None
    return [what, drawing, spans_table(rows), _interactions(analysis, palette)]


def _bar(analysis: Analysis, one: AxisEffect, level: Level) -> Bar:
    """The effect on the score itself, which is smaller where a level is better if smaller is better."""
    effect, turned = one.levels[level], analysis.metric.turned
    low, high = sorted((turned(effect.low), turned(effect.high)))
    return Bar(name=str(level), estimate=turned(effect.estimate), low=low, high=high)


def _variance(analysis: Analysis) -> Table:
    metric = analysis.metric
    squared = f"sum of squares{f' ({metric.step}²)' if metric.step else ''}"
    rows = [
        {
            "source": row.name,
            "df": str(row.df),
            squared: significant(metric.factor**2 * row.sum_sq),
            "share (%)": _SHARE.text(row.share),
            "F": significant(row.f_value),
            "df of its error": str(row.error_df) if row.error_df else NONE,
            "p": p_text(row.p_value),
        }
        for row in analysis.effects.table
    ]
    return table("variance", "Analysis of variance, blocked by seed", rows)


def _interactions(analysis: Analysis, palette: Palette) -> Drawing | None:
    """Means of the model at every combination of two axes: a missing grid point moves none of them."""
    levels = {axis.name: analysis.grid.levels(axis.name) for axis in analysis.grid.axes}
    axes = [axis for axis, every in levels.items() if 1 < len(every) <= _MOST_LEVELS][:_MOST_AXES]
    panels = []
    for one, other in itertools.combinations(axes, 2):
        means = analysis.effects.cell_means.get((one, other))
        if means is None:
            continue
        few, many = sorted((one, other), key=lambda axis: len(levels[axis]))
        along, lines = (many, few) if len(levels[many]) > _MOST_ALONG else (one, other)
        means = means if along == one else means.T
        panels.append(
            {
                (level, line): analysis.metric.value(float(means[i, j]))
                for i, level in enumerate(levels[along])
                for j, line in enumerate(levels[lines])
            }
        )
    caption = "Least-squares means at every combination of two axes. Parallel lines: no interaction."
    picture = interactions(panels, score=analysis.criterion, palette=palette) if panels else None
    return Drawing(picture=picture, caption=caption) if picture else None
