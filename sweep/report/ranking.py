"""Section 2: the ranking of all configurations."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweep.figures import (
    Bar,
    ranking,
)
from sweep.metrics import scores
from sweep.report.detail import missing
from sweep.report.document import Block, Drawing, Paragraph, Section, Table, note, section
from sweep.report.findings import LEVEL, MOST_SHOWN, Analysis, Entry
from sweep.report.formats import (
    NONE,
    numbered,
    percent,
    percent_range,
    points,
    several,
    significant,
)
from sweep.table import TIME
from sweep.tables import code


def ranking_section(analysis: Analysis) -> Section:
    """Every configuration with its mean, interval, seeds, ranks and costs."""
    shown = analysis.entries[:MOST_SHOWN]
    blocks: list[Block | None] = []
    if shown:
        lacking = missing(analysis)
        blocks = [
            Paragraph(text=_what(analysis)),
            note(lacking.text if lacking else ""),
            note(_cut(analysis)),
            Table(
                name="ranking",
                title="Ranking",
                shown=_ranking(analysis, shown),
                exact=_ranking_numbers(analysis),
                searchable=True,
                marked=_marked(analysis, shown),
            ),
            _picture(analysis, shown),
            Table(
                name="scores",
                title="All scores" + ", mean ± standard deviation over seeds" * (len(analysis.grid.seeds) > 1) + " (%)",
                shown=_scores(analysis, shown),
                folded=True,
            ),
        ]
    return section("ranking", "Ranking", [*blocks, *_diverged(analysis), *_left_out(analysis)])


def _what(analysis: Analysis) -> str:
    seeds = analysis.grid.seeds
    start = f"By {analysis.criterion}, seed {seeds[0]} alone: single runs, in order. Test accuracy took no part."
    if len(seeds) == 1:
        return start
    over = f"{several(len(seeds), 'seed')} ({numbered(seeds)})"
    text = f"By mean {analysis.criterion} over {over}. Test accuracy took no part."
    if analysis.comparisons.cannot:
        return text
    return (
        f"{text} Intervals are for the mean over new seeds and true of all configurations at once, so also of the "
        'first; whether two differ is not seen from them, for seeds are shared. "May be rank" holds for all at once '
        "likewise. Shaded on the page: not distinguishable from the best."
    )


def _marked(analysis: Analysis, shown: Sequence[Entry]) -> frozenset[int]:
    if analysis.comparisons.cannot:
        return frozenset()
    return frozenset(place for place, entry in enumerate(shown) if entry.in_best_set)


def _picture(analysis: Analysis, shown: Sequence[Entry]) -> Drawing:
    known = not analysis.comparisons.cannot
    bars = [
        Bar(
            name=" ".join(level.brief for level in entry.configuration.levels.values()),
            estimate=entry.score.estimate,
            low=entry.score.low,
            high=entry.score.high,
            values=tuple(filter(math.isfinite, entry.scores)) if len(entry.scores) > 1 else (),
            strong=entry.in_best_set and known,
        )
        for entry in shown
    ]
    also = ' "=": also under another name, see the table.' if analysis.twins else ""
    if len(analysis.grid.seeds) == 1:
        caption = f"{analysis.criterion.capitalize()} of single runs."
    else:
        caption = f"Mean {analysis.criterion}" + (" with its 95 % interval" if known else "")
        caption += "; ticks are single seeds." + (" Filled: not distinguishable from the best." if known else "")
    return Drawing(picture=ranking(bars, score=analysis.grid.criterion), caption=f"{caption}{also}")


def _diverged(analysis: Analysis) -> list[Block | None]:
    """Grid points with replicates that diverged, worse than all above."""
    diverged = sorted(analysis.grid.diverged, key=lambda one: one.count / one.n)
    if not diverged:
        return []
    rows = [
        {
            "grid point": one.point.name,
            "diverged": f"{one.count} of {several(one.n, 'seed')}",
            "share (%)": percent(one.count / one.n),
            "95 % interval": percent_range(one.share(LEVEL)) if one.n > 1 else NONE,
        }
        for one in diverged[:MOST_SHOWN]
    ]
    text = (
        "Ranked below all others: replicates of these diverged, which is an outcome and not a missing one, so no mean "
        "of the rest is given."
    )
    return [
        Paragraph(text=text, kind="warning"),
        Table(name="diverged", title="Grid points that diverged", shown=pd.DataFrame(rows)),
    ]


def _left_out(analysis: Analysis) -> list[Block | None]:
    if not analysis.grid.left_out:
        return []
    left = [
        {"grid point": point.name, "finished seeds": str(len(point.replicates)), "why": reason}
        for point, reason in analysis.grid.left_out[:MOST_SHOWN]
    ]
    return [
        Paragraph(text="Not compared, for want of scores:", kind="warning"),
        Table(name="left-out", title="Grid points left out", shown=pd.DataFrame(left)),
    ]


def _cut(analysis: Analysis) -> str:
    count = len(analysis.entries)
    if count <= MOST_SHOWN:
        return ""
    where = f"{code('tables/ranking.csv')} and {code('results.csv')}"
    return f"The first {MOST_SHOWN} of {count:,} are shown here; all are in {where}."


def _ranking(analysis: Analysis, shown: Sequence[Entry]) -> pd.DataFrame:
    one_seed = len(analysis.grid.seeds) == 1
    rows = []
    for entry in shown:
        row = {"rank": str(entry.rank), **entry.configuration.cells}
        row[f"{analysis.criterion} (%)"] = percent(entry.score.estimate)
        if not one_seed:
            ranks = entry.ranks
            row["95 % interval"] = percent_range(entry.score)
            row["may be rank"] = (
                NONE if ranks is None else f"{ranks[0]} to {ranks[1]}" if ranks[0] < ranks[1] else (str(ranks[0]))
            )
            row["n"] = str(entry.score.n)
        row["test accuracy (%)"] = percent(entry.tested)
        row["parameters"] = f"{entry.parameters:,}"
        row["training time (s)"] = significant(entry.configuration.mean(TIME))
        if not one_seed:
            row["each seed (%)"] = " ".join(percent(score) for score in entry.scores[:10]) + (
                " …" if len(entry.scores) > 10 else ""
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _ranking_numbers(analysis: Analysis) -> pd.DataFrame:
    criterion = analysis.grid.criterion.column
    rows = []
    for entry in analysis.entries:
        low, high = entry.ranks or (math.nan, math.nan)
        rows.append(
            {
                "rank": entry.rank,
                **entry.configuration.cells,
                f"{criterion}_mean": entry.score.estimate,
                f"{criterion}_low": entry.score.low,
                f"{criterion}_high": entry.score.high,
                "n": entry.score.n,
                "rank_low": low,
                "rank_high": high,
                "may_be_best": entry.in_best_set,
                "p_worse": entry.p_worse,
                f"{analysis.grid.tested.column}_mean": entry.tested,
                "parameters": entry.parameters,
                "train_time_s": entry.configuration.mean(TIME),
                **{f"{criterion}_seed_{seed}": s for seed, s in zip(analysis.grid.seeds, entry.scores, strict=True)},
            }
        )
    return pd.DataFrame(rows)


def _scores(analysis: Analysis, shown: Sequence[Entry]) -> pd.DataFrame:
    of_criterion = f" {analysis.metric.title}"
    columns = {
        one: one.title.removesuffix(of_criterion)
        for one in scores(analysis.manifest.metrics)
        if one.metric.listed and one.column != TIME.column
    }
    return pd.DataFrame(
        {"rank": str(entry.rank), "configuration": entry.name}
        | {title: _spread(entry.configuration.scores(one)) for one, title in columns.items()}
        for entry in shown
    )


def _spread(values: NDArray[np.float64]) -> str:
    values = values[np.isfinite(values)]
    if not len(values):
        return NONE
    return percent(float(values.mean())) + (f" ± {points(float(values.std(ddof=1)))}" if len(values) > 1 else "")
