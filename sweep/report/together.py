"""Several experiments side by side: the same tables by data set or protocol, and ranks over many data sets."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from sweep.axes import value_name
from sweep.config import AXES
from sweep.figures import critical_difference_diagram
from sweep.report.document import Block, Document, Drawing, Paragraph, Section, Table, note, section
from sweep.report.findings import MOST_SHOWN, Analysis
from sweep.report.formats import NONE, listed, p_equals, percent, points, points_range, several
from sweep.report.verdict import incomplete, verdict
from sweep.stats import critical_difference
from sweep.table import Configuration, goodness
from sweep.tables import code, link


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
    blocks: list[Block | None] = []
    for name, analysis in analyses.items():
        page = link(name, f"{quote(name)}/report.html")
        blocks.append(Paragraph(text=f"{page}, on {analysis.manifest.dataset.name}:"))
        blocks.append(Paragraph(text=" ".join(sentence.text for sentence in verdict(analysis)), kind="verdict"))
    return section("verdict", "Verdicts", blocks)


def _scores(analyses: Mapping[str, Analysis]) -> Section:
    """One row per grid point, in the order of the first experiment's ranking."""
    axes = _axes(analyses.values())
    rows: dict[tuple[Any, ...], dict[str, str]] = {}
    numbers: dict[tuple[Any, ...], dict[str, float]] = {}
    for name, analysis in analyses.items():
        for entry in analysis.entries:
            for trial_point in _values(analysis, entry.configuration, axes):
                row = rows.setdefault(trial_point, {})
                test = entry.tested
                row[f"{name}: {analysis.criterion} (%)"] = f"{percent(entry.score.estimate)} ({entry.rank})"
                row[f"{name}: test accuracy (%)"] = percent(test)
                numbers.setdefault(trial_point, {}).update(
                    {
                        f"{name}_rank": entry.rank,
                        f"{name}_{analysis.grid.criterion.column}_mean": entry.score.estimate,
                        f"{name}_{analysis.grid.tested.column}_mean": test,
                    }
                )
    levels = {values: {axis: value_name(value) for axis, value in zip(axes, values, strict=True)} for values in rows}
    shown = pd.DataFrame(levels[values] | row for values, row in rows.items()).fillna(NONE)
    exact = pd.DataFrame(levels[values] | row for values, row in numbers.items())
    more = (
        f"The first {MOST_SHOWN} of {len(shown)}; all are in {code('tables/side-by-side.csv')}."
        if len(shown) > MOST_SHOWN
        else ""
    )
    return section(
        "scores",
        "Scores side by side",
        [
            note(
                "In brackets the rank by the experiment's own criterion; twins and equal means share it. Test accuracy "
                "took no part. " + more
            ),
            Table(
                name="side-by-side",
                title="Scores side by side",
                shown=shown.head(MOST_SHOWN),
                exact=exact,
                searchable=True,
            ),
        ],
    )


def _effects(analyses: Mapping[str, Analysis]) -> Section:
    rows = []
    for name, analysis in analyses.items():
        for term in analysis.effects.effects:
            if term.span is None:
                continue
            ordered = sorted(term.levels, key=lambda one: one.effect.estimate)
            rows.append(
                {
                    "experiment": name,
                    "data set": analysis.manifest.dataset.name,
                    "axis": term.factors[0],
                    "from": str(ordered[0].levels[0]),
                    "to": str(ordered[-1].levels[0]),
                    "difference (points)": points(term.span.estimate),
                    "95 % interval": points_range(term.span.low, term.span.high),
                }
            )
    table = Table(name="effects", title="Largest difference between two levels of an axis", shown=pd.DataFrame(rows))
    empty = Paragraph(text="No experiment has an axis whose effect can be shown.", kind="warning")
    return section("effects", "Effects side by side", [table if rows else empty])


def _ranks(analyses: Sequence[Analysis]) -> Section:
    """Friedman's test and Nemenyi's critical difference over data sets, one score per data set."""
    axes = _axes(analyses)
    one_each = [analysis for analysis in analyses if analysis.entries]
    if reason := _unlike(one_each):
        text = f"Ranks over data sets are not compared: {reason}."
        return section("ranks", "Ranks over data sets", [Paragraph(text=text, kind="note")])
    means = []
    for analysis in one_each:
        means.append(
            {
                values: float(goodness(analysis.metric, np.array(entry.score.estimate)))
                for entry in analysis.entries
                for values in _values(analysis, entry.configuration, axes)
            }
        )
    first = one_each[0].entries if one_each else ()
    # Twins of the first experiment enter once, under their joint name.
    kept = [(entry, _values(one_each[0], entry.configuration, axes)[0]) for entry in first]
    kept = [(entry, values) for entry, values in kept if all(values in table for table in means)]
    scores = np.array([[table[values] for _, values in kept] for table in means]).reshape(len(means), len(kept))
    outcome = critical_difference(scores)
    if outcome.cannot:
        text = f"Ranks over data sets are not compared ({outcome.cannot})."
        return section("ranks", "Ranks over data sets", [Paragraph(text=text, kind="note")])
    picture = critical_difference_diagram(
        [entry.name for entry, _ in kept], outcome.average_ranks.tolist(), outcome.groups, outcome.difference
    )
    text = (
        f"{several(len(kept), 'configuration')} on {several(outcome.n_blocks, 'data set')}: Friedman's test that any "
        f"differ, {p_equals(outcome.p_value)}. Average ranks further apart than {outcome.difference:.2f} differ "
        "(Nemenyi, 95 % confidence for all pairs together)."
    )
    caption = "Average rank of each configuration; configurations beside one bar are not told apart."
    return section("ranks", "Ranks over data sets", [Paragraph(text=text), Drawing(picture=picture, caption=caption)])


def _unlike(analyses: Sequence[Analysis]) -> str:
    """Why experiments cannot be the blocks of one test: each needs a data set of its own and all else alike."""
    data = Counter(analysis.manifest.dataset.sha256 for analysis in analyses)
    if data and max(data.values()) > 1:
        twice = [analysis.manifest.name for analysis in analyses if data[analysis.manifest.dataset.sha256] > 1]
        return f"{listed(twice)} have the same data, so they are no independent blocks"
    for what, values in (
        ("are selected by different scores", {analysis.criterion for analysis in analyses}),
        (
            "were trained for different numbers of epochs",
            {trial.epochs for a in analyses for trial in a.manifest.trials},
        ),
    ):
        if len(values) > 1:
            return f"the experiments {what} ({listed(sorted(map(str, values)))})"
    return ""


def _axes(analyses: Iterable[Analysis]) -> list[str]:
    used = {axis.name for analysis in analyses for axis in analysis.grid.axes}
    return [axis for axis in AXES if axis in used]


def _values(analysis: Analysis, configuration: Configuration, axes: Sequence[str]) -> list[tuple[Any, ...]]:
    """Values of `axes` at each grid point of a configuration; an axis that does not vary has one value for all."""
    manifest = analysis.manifest
    fixed = dict(zip((axis.name for axis in manifest.axes), manifest.trials[0].point, strict=True))
    varied = [axis.name for axis in analysis.grid.axes]
    return [
        tuple({**fixed, **dict(zip(varied, point.values, strict=True))}[axis] for axis in axes)
        for point in configuration.points
    ]
