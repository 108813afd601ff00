"""Section 3: effects of levels and interactions of the axes."""

from typing import cast

import numpy as np
import pandas as pd

from sweep.axes import Level
from sweep.figures import (
    Bar,
    Palette,
    interactions,
    main_effects,
)
from sweep.report.document import Block, Drawing, Paragraph, Section, Table, note, section
from sweep.report.findings import Analysis
from sweep.report.formats import (
    NONE,
    p_text,
    points,
    points_range,
    significant,
)

_MOST_LEVELS = 12


def effects_section(analysis: Analysis) -> Section:
    """Effects of levels and interactions, then the table of variance."""
    effects = analysis.effects
    palette = Palette(analysis.grid.axes)
    blocks: list[Block | None] = []
    mains = {
        term.factors[0]: {
            cast(Level, one.levels[0]): Bar(
                name="", estimate=one.effect.estimate, low=one.effect.low, high=one.effect.high
            )
            for one in term.levels
        }
        for term in effects.effects
        if term.span is not None
    }
    if len(analysis.grid.seeds) == 1:
        text = "One seed: what a level does and what is luck cannot be told apart."
        return section("effects", "Effects of the axes", [Paragraph(text=text, kind="warning")])
    if effects.cannot:
        blocks.append(Paragraph(text=f"What cannot be said: {effects.cannot}.", kind="warning"))
    if mains:
        blocks.append(
            Paragraph(
                text=f"Effects on {analysis.criterion} in percentage points: how far a level lies from the mean of all "
                "levels of its axis, the other axes averaged out. Levels that gave identical numbers are one level."
            )
        )
        small = {axis: bars for axis, bars in mains.items() if len(bars) <= _MOST_LEVELS}
        if small:
            picture = main_effects(small, score=analysis.grid.criterion, palette=palette)
            interval = (
                "" if effects.cannot else " with intervals that hold together for all levels of an axis (Bonferroni)"
            )
            blocks.append(Drawing(picture=picture, caption=f"Effect of every level{interval}."))
        blocks.append(
            Table(name="effects", title="Largest difference between two levels of an axis", shown=_spans(analysis))
        )
        blocks += _interactions(analysis, palette)
    if effects.table:
        blocks.append(Table(name="variance", title="Analysis of variance, blocked by seed", shown=_variance(analysis)))
    doubts = [f"{axis}: {doubt}" for axis, doubt in _doubts(analysis).items()]
    blocks.append(Paragraph(text=f"Provisional: {'; '.join(doubts)}.", kind="warning") if doubts else None)
    blocks.append(note(" ".join(f"{text[0].upper()}{text[1:]}." for text in effects.notes)))
    if effects.table and not effects.cannot:
        blocks.append(
            note(
                "An axis is tested with its own axis × seed error where six degrees of freedom or more tell it, else "
                "with the residual; p-values of axes are adjusted by Holm, and so are those of interactions; intervals "
                "hold for all axes at once. Assumes errors near enough to normal. Share is of the variation around the "
                "mean in this sample (eta squared). An axis with a small share may still matter at one level of "
                "another: see the interactions."
            )
        )
    return section("effects", "What matters: effects of the axes", blocks)


def _spans(analysis: Analysis) -> pd.DataFrame:
    shares = {row.name: row for row in analysis.effects.table}
    rows = []
    for term in analysis.effects.effects:
        if term.span is None:
            continue
        ordered = sorted(term.levels, key=lambda one: one.effect.estimate)
        row = shares[term.factors[0]]
        rows.append(
            {
                "axis": term.factors[0],
                "from": cast(Level, ordered[0].levels[0]).cell,
                "to": cast(Level, ordered[-1].levels[0]).cell,
                "difference (points)": points(term.span.estimate),
                "95 % interval": points_range(term.span.low, term.span.high),
                "share of variance in this sample (%)": _share(row.share),
                "p": p_text(row.p_value),
            }
        )
    return pd.DataFrame(rows).sort_values("difference (points)", key=lambda c: -c.astype(float), kind="stable")


def _variance(analysis: Analysis) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source": row.name,
            "df": str(row.df),
            "sum of squares (points²)": significant(1e4 * row.sum_sq),
            "share (%)": _share(row.share),
            "F": significant(row.f_value),
            "df of its error": str(row.error_df) if row.error_df else NONE,
            "p": p_text(row.p_value),
        }
        for row in analysis.effects.table
    )


def _share(share: float) -> str:
    return f"{100 * share:.1f}" if np.isfinite(share) else NONE


def _interactions(analysis: Analysis, palette: Palette) -> list[Block | None]:
    axes = [axis.name for axis in analysis.grid.axes if len(analysis.grid.levels(axis.name)) > 1]
    axes = [axis for axis in axes if len(analysis.grid.levels(axis)) <= _MOST_LEVELS][:4]
    panels: list[dict[tuple[Level, Level], float]] = []
    for i, along in enumerate(axes):
        for lines in axes[i + 1 :]:
            few, many = sorted((along, lines), key=lambda axis: len(analysis.grid.levels(axis)))
            x, hue = (many, few) if len(analysis.grid.levels(many)) > 6 else (along, lines)
            means = _cell_means(analysis, x, hue)
            if means:
                panels.append(means)
    if not panels:
        return []
    caption = "Least-squares means at every combination of two axes. Parallel lines: no interaction."
    return [Drawing(picture=interactions(panels, score=analysis.grid.criterion, palette=palette), caption=caption)]


def _cell_means(analysis: Analysis, x: str, hue: str) -> dict[tuple[Level, Level], float]:
    """Means of the model, by level of each of two axes: a missing grid point moves none of them."""
    found = analysis.effects.cell_means
    table = found.get((x, hue))
    if table is None and (hue, x) in found:
        table = found[(hue, x)].T
    if table is None:
        return {}
    rows, columns = analysis.grid.levels(x), analysis.grid.levels(hue)
    return {
        (row, column): analysis.metric.value(float(table[i, j]))
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    }


def _doubts(analysis: Analysis) -> dict[str, str]:
    """Why claims about axes are provisional, by axis."""
    return {claim.subject[0]: claim.provisional for claim in analysis.claimed("axis") if claim.provisional}
