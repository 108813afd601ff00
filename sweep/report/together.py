"""Several experiments side by side: the same tables by data set or protocol, and ranks over many data sets."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

import numpy as np

from sweep.axes import Point, value_name
from sweep.config import AXES
from sweep.figures.scores import critical_difference_diagram
from sweep.report.analysis import Analysis
from sweep.report.document import Content, Document, Drawing, Paragraph, Section, note, section, table, warning
from sweep.report.effects import span_cells, spans_table
from sweep.report.findings import MOST_SHOWN
from sweep.report.formats import listed, p_equals, several
from sweep.report.text import code, link
from sweep.report.verdict import incomplete, verdict
from sweep.stats import critical_difference
from sweep.table import Configuration, goodness


def together(analyses: Mapping[str, Analysis]) -> Document:
    """Gives the comparison of several experiments by name; each has its own whole report in a folder of its name."""
    unfinished = [f"{name}: {incomplete(analysis)}" for name, analysis in analyses.items() if incomplete(analysis)]
    return Document(
        title=f"{listed(analyses, most=6)} side by side",
        subtitle=f"{several(len(analyses), 'experiment')}; the whole report of each is linked below.",
        banner=" ".join(unfinished),
        sections=(_verdicts(analyses), _scores(analyses), _effects(analyses), _ranks([*analyses.values()])),
    )


def _verdicts(analyses: Mapping[str, Analysis]) -> Section:
    blocks: list[Content] = []
    for name, analysis in analyses.items():
        page = link(name, f"{quote(name)}/report.html")
        blocks.append(f"{page}, on {analysis.manifest.dataset.name}:")
        blocks.append(Paragraph(text=" ".join(verdict(analysis).values()), kind="verdict"))
    return section("verdict", "Verdicts", blocks)


def _scores(analyses: Mapping[str, Analysis]) -> Section:
    """One row per grid point, in the order of the first experiment's ranking."""
    axes = _axes(analyses.values())
    rows: dict[Point, dict[str, str]] = {}
    numbers: dict[Point, dict[str, float]] = {}
    for name, analysis in analyses.items():
        metric, criterion, tested = analysis.metric, analysis.criterion, analysis.grid.tested
        for entry in analysis.entries:
            cells = {
                f"{name}: {criterion.heading}": f"{metric.text(entry.score.estimate)} ({entry.rank})",
                f"{name}: {tested.heading}": metric.text(entry.tested),
            }
            exact = {
                f"{name}_rank": entry.rank,
                f"{name}_{criterion.column}_mean": entry.score.estimate,
                f"{name}_{tested.column}_mean": entry.tested,
            }
            for point in _values(analysis, entry.configuration, axes):
                rows.setdefault(point, {axis: value_name(v) for axis, v in zip(axes, point, strict=True)}).update(cells)
                numbers.setdefault(point, {}).update(exact)
    exact_rows = [{axis: rows[point][axis] for axis in axes} | numbers[point] for point in rows]
    tested_titles = listed(dict.fromkeys(analysis.grid.tested.title for analysis in analyses.values())).capitalize()
    what = "In brackets the rank by the experiment's own criterion; twins and equal means share it."
    cut = f" The first {MOST_SHOWN} of {len(rows)}; all are in {code('tables/side-by-side.csv')}."
    everything = table("side-by-side", "Scores side by side", [*rows.values()], exact_rows, searchable=True)
    blocks = [
        note(f"{what} {tested_titles} took no part.{cut if len(rows) > MOST_SHOWN else ''}"),
        dataclasses.replace(everything, shown=everything.shown.head(MOST_SHOWN)),
    ]
    return section("scores", "Scores side by side", blocks)


def _effects(analyses: Mapping[str, Analysis]) -> Section:
    rows = [
        {"experiment": name, "data set": analysis.manifest.dataset.name}
        | span_cells(analysis, one, [str(level) for level in one.ends])
        for name, analysis in analyses.items()
        for one in analysis.of_axes
    ]
    empty = warning("No experiment has an axis whose effect can be shown.")
    return section("effects", "Effects side by side", [spans_table(rows) if rows else empty])


def _ranks(analyses: Sequence[Analysis]) -> Section:
    """Friedman's test and Nemenyi's critical difference over data sets, one score per data set."""
    axes = _axes(analyses)
    one_each = [analysis for analysis in analyses if analysis.entries]
    title = "Ranks over data sets"
    if reason := _unlike(one_each):
        return section("ranks", title, [note(f"{title} are not compared: {reason}.")])
    means = []
    for analysis in one_each:
        estimates = np.array([entry.score.estimate for entry in analysis.entries])
        scores = goodness(analysis.metric, estimates).tolist()
        points = [_values(analysis, entry.configuration, axes) for entry in analysis.entries]
        means.append({point: score for some, score in zip(points, scores, strict=True) for point in some})
    # Twins of the first experiment enter once, under their joint name.
    first = one_each[0].entries if one_each else ()
    kept = [(entry.name, _values(one_each[0], entry.configuration, axes)[0]) for entry in first]
    kept = [(name, point) for name, point in kept if all(point in table for table in means)]
    matrix = np.array([[table[point] for _, point in kept] for table in means]).reshape(len(means), len(kept))
    outcome = critical_difference(matrix)
    if outcome.cannot:
        return section("ranks", title, [note(f"{title} are not compared ({outcome.cannot}).")])
    picture = critical_difference_diagram(
        [name for name, _ in kept], outcome.average_ranks.tolist(), outcome.groups, outcome.difference
    )
    text = (
        f"{several(len(kept), 'configuration')} on {several(outcome.n_blocks, 'data set')}: Friedman's test that any "
        f"differ, {p_equals(outcome.p_value)}. Average ranks further apart than {outcome.difference:.2f} differ "
        "(Nemenyi, 95 % confidence for all pairs together)."
    )
    caption = "Average rank of each configuration; configurations beside one bar are not told apart."
    return section("ranks", title, [text, Drawing(picture=picture, caption=caption)])


def _unlike(analyses: Sequence[Analysis]) -> str:
    """Why experiments cannot be the blocks of one test: each needs a data set of its own and all else alike."""
    data = Counter(analysis.manifest.dataset.sha256 for analysis in analyses)
    twice = [analysis.manifest.name for analysis in analyses if data[analysis.manifest.dataset.sha256] > 1]
    if twice:
        return f"{listed(twice)} have the same data, so they are no independent blocks"
    epochs = {trial.epochs for analysis in analyses for trial in analysis.manifest.trials}
    for what, values in (
        ("are selected by different scores", {analysis.criterion.title for analysis in analyses}),
        ("were trained for different numbers of epochs", epochs),
    ):
        if len(values) > 1:
            return f"the experiments {what} ({listed(sorted(map(str, values)))})"
    return ""


def _axes(analyses: Iterable[Analysis]) -> list[str]:
    used = {axis.name for analysis in analyses for axis in analysis.grid.axes}
    return [axis for axis in AXES if axis in used]


def _values(analysis: Analysis, configuration: Configuration, axes: Sequence[str]) -> list[Point]:
    """Values of `axes` at each grid point of a configuration; an axis that does not vary has one value for all."""
    manifest = analysis.manifest
    fixed = dict(zip((axis.name for axis in manifest.axes), manifest.trials[0].point, strict=True))
    points = [fixed | {level.axis: level.values[0] for level in point.levels} for point in configuration.points]
    return [tuple(point[axis] for axis in axes) for point in points]
