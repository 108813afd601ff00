"""The ranking of all configurations, and below it what diverged or could not be compared.

And what it fixes before any fresh seed: the finalists, for `sweep confirm`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.axes import Point
from sweep.errors import ConfigError, ExperimentError
from sweep.figures.scores import Bar, ranking
from sweep.metrics import NONE, Metric, scores
from sweep.records import State
from sweep.report.analysis import Analysis
from sweep.report.document import Content, Drawing, Section, Table, note, section, table, warning
from sweep.report.findings import LEVEL, MOST_SHOWN, Entry
from sweep.report.formats import SHARE, numbered, several, significant
from sweep.report.text import code
from sweep.report.verdict import missing
from sweep.stats import compare
from sweep.table import TIME, read_grid

_MOST_SEEDS = 10
_FEWEST_FINALISTS, _MOST_FINALISTS = 2, 5  # unless the user asks for another number


def ranking_section(analysis: Analysis) -> Section:
    """Every configuration with its mean, interval, seeds, ranks and costs."""
    shown = analysis.entries[:MOST_SHOWN]
    known = not analysis.comparisons.cannot
    blocks: list[Content] = []
    if shown:
        blocks = [
            _what(analysis),
            note(missing(analysis.grid)),
            note(_cut(len(analysis.entries))),
            table(
                "ranking",
                "Ranking",
                [_row(analysis, entry) for entry in shown],
                [_numbers(analysis, entry) for entry in analysis.entries],
                searchable=True,
                marked=frozenset(place for place, entry in enumerate(shown) if entry.in_best_set and known),
            ),
            _picture(analysis, shown),
            _scores(analysis, shown),
        ]
    return section("ranking", "Ranking", [*blocks, *_diverged(analysis), *_left_out(analysis)])


def _what(analysis: Analysis) -> str:
    seeds, criterion = analysis.grid.seeds, analysis.criterion.title
    no_part = f"{analysis.grid.tested.title.capitalize()} took no part."
    if len(seeds) == 1:
        return f"By {criterion}, seed {seeds[0]} alone: single runs, in order. {no_part}"
    text = f"By mean {criterion} over {several(len(seeds), 'seed')} ({numbered(seeds)}). {no_part}"
    if analysis.comparisons.cannot:
        return text
    return (
        f"{text} Intervals are for the mean over new seeds and true of all configurations at once, so also of the "
        'first; whether two differ is not seen from them, for seeds are shared. "May be rank" holds for all at once '
        "likewise. Shaded on the page: not distinguishable from the best."
    )


def _cut(count: int) -> str:
    if count <= MOST_SHOWN:
        return ""
    where = f"{code('tables/ranking.csv')} and {code('results.csv')}"
    return f"The first {MOST_SHOWN} of {count:,} are shown here; all are in {where}."


def _row(analysis: Analysis, entry: Entry) -> dict[str, str]:
    grid, metric = analysis.grid, analysis.metric
    row = {"rank": str(entry.rank), **entry.configuration.cells}
    row[grid.criterion.heading] = metric.text(entry.score.estimate)
    if len(grid.seeds) > 1:
        row["95 % interval"] = metric.range(entry.score.low, entry.score.high)
        row["may be rank"] = " to ".join(map(str, dict.fromkeys(entry.ranks))) if entry.ranks else NONE
        row["n"] = str(entry.score.n)
    row[grid.tested.heading] = metric.text(entry.tested)
    row["parameters"] = f"{entry.configuration.parameters:,}"
    row["training time (s)"] = significant(entry.configuration.mean(TIME))
    if len(grid.seeds) > 1:
        each = [metric.text(score) for score in entry.configuration.scores(grid.criterion)]
        row[f"each seed{metric.heading}"] = " ".join(each[:_MOST_SEEDS]) + " …" * (len(each) > _MOST_SEEDS)
    return row


def _numbers(analysis: Analysis, entry: Entry) -> dict[str, float | str]:
    grid, column = analysis.grid, analysis.criterion.column
    rank_low, rank_high = entry.ranks or (math.nan, math.nan)
    each = zip(grid.seeds, entry.configuration.scores(grid.criterion).tolist(), strict=True)
    return {
        "rank": entry.rank,
        **entry.configuration.cells,
        f"{column}_mean": entry.score.estimate,
        f"{column}_low": entry.score.low,
        f"{column}_high": entry.score.high,
        "n": entry.score.n,
        "rank_low": rank_low,
        "rank_high": rank_high,
        "may_be_best": entry.in_best_set,
        "p_worse": entry.p_worse,
        f"{grid.tested.column}_mean": entry.tested,
        "parameters": entry.configuration.parameters,
        TIME.column: entry.configuration.mean(TIME),
        **{f"{column}_seed_{seed}": score for seed, score in each},
    }


def _picture(analysis: Analysis, shown: Sequence[Entry]) -> Drawing:
    known, one_seed = not analysis.comparisons.cannot, len(analysis.grid.seeds) == 1
    bars = [
        Bar(
            name=" ".join(level.brief for level in entry.configuration.levels.values()),
            estimate=entry.score.estimate,
            low=entry.score.low,
            high=entry.score.high,
            values=()
            if one_seed
            else tuple(replicate.score(analysis.criterion) for replicate in entry.configuration.trained),
            strong=entry.in_best_set and known,
        )
        for entry in shown
    ]
    criterion = analysis.criterion.title
    caption = f"{criterion.capitalize()} of single runs."
    if not one_seed:
        caption = f"Mean {criterion}{' with its 95 % interval' if known else ''}; ticks are single seeds."
        caption += " Filled: not distinguishable from the best." if known else ""
    twins = any(len(configuration.points) > 1 for configuration in analysis.grid.configurations)
    caption += ' "=": also under another name, see the table.' if twins else ""
    return Drawing(picture=ranking(bars, score=analysis.criterion), caption=caption)


def _scores(analysis: Analysis, shown: Sequence[Entry]) -> Table:
    """Every score that the tables have, first those of the metric that selects."""
    metric, several_seeds = analysis.metric, len(analysis.grid.seeds) > 1
    others = [one for one in analysis.manifest.metrics if one.listed and one.name not in (metric.name, TIME.column)]
    columns = {one: one.title for one in scores([metric, *others])}
    if alike := len({one.unit for one in (metric, *others)}) == 1:
        columns = {one: title.removesuffix(f" {metric.title}") for one, title in columns.items()}
    rows = [
        {"rank": str(entry.rank), "configuration": entry.name}
        | {
            title + ("" if alike else one.metric.heading): _spread(one.metric, entry.configuration.scores(one))
            for one, title in columns.items()
        }
        for entry in shown
    ]
    title = "All scores" + ", mean ± standard deviation over seeds" * several_seeds + metric.heading * alike
    return table("scores", title, rows, folded=True)


def _spread(metric: Metric, values: NDArray[np.float64]) -> str:
    values = values[np.isfinite(values)]
    if not len(values):
        return NONE
    spread = f" ± {metric.difference(float(values.std(ddof=1)))}" if len(values) > 1 else ""
    return f"{metric.text(float(values.mean()))}{spread}"


def _diverged(analysis: Analysis) -> list[Content]:
    """Grid points with replicates that diverged, worse than all above."""
    rows = []
    for one in sorted(analysis.grid.diverged, key=lambda one: one.count / one.n)[:MOST_SHOWN]:
        share = one.share(LEVEL)
        rows.append(
            {
                "grid point": one.point.name,
                "diverged": f"{one.count} of {several(one.n, 'seed')}",
                "share (%)": SHARE.text(one.count / one.n),
                "95 % interval": SHARE.range(share.low, share.high) if one.n > 1 else NONE,
            }
        )
    text = (
        "Ranked below all others: replicates of these diverged, which is an outcome and not a missing one, so no mean "
        "of the rest is given."
    )
    rest = table("diverged", "Grid points that diverged", rows)
    return [warning(text), rest] if rows else []


def _left_out(analysis: Analysis) -> list[Content]:
    rows = [
        {"grid point": point.name, "finished seeds": str(len(point.replicates)), "why": reason}
        for point, reason in analysis.grid.left_out[:MOST_SHOWN]
    ]
    rest = table("left-out", "Grid points left out", rows)
    return [warning("Not compared, for want of scores:"), rest] if rows else []


# ---- finalists


class Finalists(NamedTuple):
    """A grid point for each, the best first, of twins the first; and how many seeds have chosen them."""

    points: tuple[Point, ...]
    num_seeds: int


def find_finalists(state: State, count: int | None) -> Finalists:
    """Gives the best configurations of a finished experiment.

    Args:
        state: All trials of the sweep finished.
        count: How many; None for those that cannot be told apart from the best, at least 2 and at most 5.

    Raises:
        ExperimentError: if something is not finished, or nothing has been selected.
        ConfigError: if there are not so many.
    """
    manifest, grid = state.manifest, read_grid(state)
    name, total = manifest.name, len(grid.configurations)
    left = [trial.trial_id for trial in manifest.compared if trial.trial_id not in state.done]
    if left:
        option = " --failed" if all(trial_id in state.failed for trial_id in left) else ""
        raise ExperimentError(
            f"{len(left)} of {len(manifest.compared)} trials of {name!r} are not finished, and finalists are chosen "
            f"among all; finish them with: sweep resume {name}{option}"
        )
    if total < 2:
        raise ExperimentError(
            f"{name!r} has {several(total, 'configuration')} to compare, so that nothing was selected and "
            "nothing is to be confirmed; add axis values with --extend"
        )
    if len(grid.seeds) < 2:
        raise ExperimentError(
            f"{name!r} has one seed that its configurations share, too few to select; add seeds with --extend"
        )
    if count is None:
        not_told_apart = int(compare(grid.goodness, looks=manifest.looks).in_best_set.sum())
        count = min(max(not_told_apart, _FEWEST_FINALISTS), _MOST_FINALISTS, total)
    if not 1 <= count <= total:
        raise ConfigError(f"--count must be from 1 to {total}, the configurations of {name!r}; got {count}")
    points = {trial.trial_id: trial.point for trial in manifest.compared}
    chosen = [grid.configurations[k].trained[0].trial_id for _, k in grid.ranked()[:count]]
    return Finalists(points=tuple(points[trial_id] for trial_id in chosen), num_seeds=len(grid.seeds))
